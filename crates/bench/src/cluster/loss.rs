//! Losing machines under load.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indexmap::IndexMap;

use super::client::{Kept, Load, Sample};
use super::evaluate::{Seen, longest_gap, seen};
use super::journal::Record;
use super::platform::{HOST, Instances, Platform, targets};
use super::{PATIENCE, settle};

/// Instances of the app.
pub(super) const INSTANCES: usize = 12;

/// Between two requests of the open client: 250 a second.
const PAUSE: Duration = Duration::from_millis(4);

/// Load before the loss, which must go well.
const BEFORE: Duration = Duration::from_secs(1);

/// Load after the last replacement serves.
const AFTER: Duration = Duration::from_millis(1500);

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A host on which no leader is.
    Host,
    /// A hypervisor with two hosts, and no leader on them.
    Hypervisor,
    /// The host of the leading server, or manager.
    Leader,
    /// The host that holds the address that clients ask.
    Holder,
}

impl Loss {
    /// Hosts and hypervisors of the cluster.
    pub(super) fn shape(self) -> (usize, usize) {
        match self {
            Self::Hypervisor => (6, 3),
            Self::Host | Self::Leader | Self::Holder => (4, 0),
        }
    }

    /// What dies in a run.
    fn victim(self, platform: &dyn Platform, number: usize) -> Result<(String, String)> {
        let (leader, leads) = platform.leader()?;
        if self == Self::Holder {
            let holder = platform.holder()?;
            let also = if holder == leader { format!(" with {leads}") } else { String::new() };
            return Ok((holder.clone(), format!("{holder} with the address{also}")));
        }
        let machines = &platform.lab().plan().machines;
        let names: BTreeSet<String> = match self {
            Self::Leader => return Ok((leader.clone(), format!("{leader} with {leads}"))),
            Self::Host | Self::Holder => machines.iter().map(|it| it.name.clone()).collect(),
            Self::Hypervisor => machines.iter().filter_map(|it| it.hypervisor.clone()).collect(),
        };
        let without: Vec<String> = names
            .into_iter()
            .filter(|name| !platform.lab().machines(name).contains(&leader))
            .collect();
        let victim = without.get(number % without.len().max(1)).context("nothing to kill")?;
        Ok((victim.clone(), victim.clone()))
    }
}

/// Deploys the app that is then under load.
pub(super) fn prepare(platform: &mut dyn Platform, loss: Loss) -> Result<()> {
    if loss == Loss::Holder {
        platform.add_address()?;
    }
    platform.deploy(INSTANCES, 1)?;
    settle(platform, INSTANCES)
}

/// One loss and what came of it; the cluster is whole again afterwards.
pub(super) fn run(platform: &mut dyn Platform, loss: Loss, number: usize) -> Result<Record> {
    settle(platform, INSTANCES)?;
    let (victim, what) = loss.victim(platform, number)?;
    let lost = platform.lab().machines(&victim);
    let before = platform.instances()?;
    let gone = before.values().filter(|machine| lost.contains(*machine)).count();
    ensure!(gone > 0, "{victim} carries nothing");
    let clients = Clients::start(platform, &lost, &before)?;
    sleep(BEFORE);
    let silence = platform.lab().kill(&victim)?;
    let names: BTreeSet<String> = before.keys().cloned().collect();
    let evaluate = |samples: &[Sample]| seen(samples, silence.monotonic_ns, &names);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && clients.load.look(evaluate).replacements.len() < gone {
        sleep(Duration::from_millis(50));
    }
    sleep(AFTER);
    let Clients { load, kept, held, follow } = clients;
    let held = held.map(Held::samples);
    let samples = load.stop()?;
    drop(follow);
    let quiet = |sample: &&Sample| sample.ended < silence.monotonic_ns;
    let early = samples.iter().filter(quiet).filter(|sample| sample.outcome.is_err()).count();
    ensure!(early == 0, "{early} requests failed before anything was killed");
    let seen = evaluate(&samples);
    let said = platform.said(&silence)?;
    let mut values = figures(&seen, gone);
    values.extend(marks(&said, &lost));
    let kept = kept.map(Kept::stop).transpose()?;
    for (name, samples) in [("kept-gap", kept), ("service-gap", held)] {
        let gap = samples.map(|samples| longest_gap(&samples, silence.monotonic_ns));
        values
            .extend(gap.map(|gap| (name.to_owned(), gap.unwrap_or(PATIENCE.as_secs_f64() * 1e3))));
    }
    platform.lab().restart(&victim)?;
    platform.returned(&lost)?;
    let mut timeline = said;
    timeline.extend(seen.replacements.iter().map(|at| (*at, "a replacement answers".to_owned())));
    timeline.push((seen.last_failed, "the last request that failed was sent".to_owned()));
    timeline.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(Record {
        who: platform.name().to_owned(),
        binary: String::new(),
        at: silence.wall.to_string(),
        what,
        values,
        timeline,
        failures: seen.causes,
    })
}

/// The figures of what clients saw. What did not come within the limit is told as the limit.
fn figures(seen: &Seen, gone: usize) -> IndexMap<String, f64> {
    let limit = PATIENCE.as_secs_f64() * 1e3;
    let first = seen.replacements.first().copied().unwrap_or(limit);
    let last = seen.replacements.get(gone - 1).copied().unwrap_or(limit);
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let values = [
        ("takeover", seen.first_good.unwrap_or(limit)),
        ("first-serving", first),
        ("last-serving", last),
        ("last-failed", seen.last_failed),
        ("failed", count(seen.failed)),
        ("failed-share", count(seen.failed) / count(seen.sent.max(1)) * 100.0),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The steps of a recovery as the platform tells them.
fn marks(said: &[(f64, String)], lost: &BTreeSet<String>) -> IndexMap<String, f64> {
    let times = |wanted: &dyn Fn(&str) -> bool| -> Vec<f64> {
        said.iter().filter(|(_, what)| wanted(what)).map(|(at, _)| *at).collect()
    };
    let of = |word: &str| {
        times(&|what| lost.iter().any(|host| what == format!("{host} is {word}"))).last().copied()
    };
    let down = of("down");
    let later = |at: &&f64| down.is_none_or(|down| **at >= down);
    let planned = times(&|what| what.starts_with("planned")).iter().find(later).copied();
    let written = times(&|what| what.starts_with("written: ") && what != "written: down");
    let written = written.iter().rfind(later).copied();
    let found =
        [("suspect", of("suspect")), ("down", down), ("planned", planned), ("written", written)];
    found.into_iter().filter_map(|(name, at)| Some((name.to_owned(), at?))).collect()
}

/// All clients of a run.
struct Clients {
    load: Load,
    kept: Option<Kept>,
    held: Option<Held>,
    follow: Box<dyn super::platform::Follow>,
}

impl Clients {
    fn start(platform: &dyn Platform, lost: &BTreeSet<String>, before: &Instances) -> Result<Self> {
        let lab = platform.lab();
        let entry = targets(Vec::new());
        let follow = platform.follow(entry.clone(), lost)?;
        let begun = Instant::now();
        while entry.lock().is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "nobody is to be asked");
            sleep(Duration::from_millis(10));
        }
        // One that keeps its connection needs an entry, and one inside a service address.
        let first = platform.has_entry().then(|| entry.lock().first().copied()).flatten();
        let kept = first.map(|at| lab.outside().map(|outside| Kept::start(outside, at, HOST)));
        let load = Load::start(lab.outside()?, entry, HOST, PAUSE);
        let held = platform.hold(before, lost)?.map(Held);
        Ok(Self { load, kept: kept.transpose()?, held, follow })
    }
}

/// The client inside.
struct Held(crate::machine::Running);

impl Held {
    fn samples(self) -> Vec<Sample> {
        let text = self.0.output();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_in_what_was_said() {
        let said: Vec<(f64, String)> = [
            (100.0, "planned: 1 instances, 1 hosts to write"),
            (760.0, "host-4 is suspect"),
            (900.0, "host-2 is suspect"),
            (1500.0, "host-4 is down"),
            (1503.0, "written: down"),
            (1504.0, "planned: 3 instances, 3 hosts to write"),
            (1509.0, "written: a on host-1"),
            (1510.0, "written: b on host-2"),
            (1600.0, "a is healthy"),
        ]
        .map(|(at, what)| (at, what.to_owned()))
        .into();
        let marks = marks(&said, &["host-4".to_owned()].into());
        let wanted =
            [("suspect", 760.0), ("down", 1500.0), ("planned", 1504.0), ("written", 1510.0)];
        assert_eq!(marks.len(), wanted.len());
        assert!(wanted.iter().all(|(name, at)| marks[*name] == *at), "{marks:?}");
    }

    #[test]
    fn who_never_serves_counts_as_the_limit() {
        let seen = Seen {
            first_good: None,
            replacements: vec![900.0, 950.0],
            last_failed: 700.0,
            failed: 5,
            sent: 1000,
            causes: std::collections::BTreeMap::new(),
        };
        let values = figures(&seen, 3);
        assert_eq!((values["first-serving"], values["last-serving"]), (900.0, 180_000.0));
        assert_eq!(values["failed-share"], 0.5);
    }
}
