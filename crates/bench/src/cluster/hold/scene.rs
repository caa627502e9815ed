//! What all runs have: an entry that stays, clients outside, and an eye on containers.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::lab::Role;
use anyhow::{Context, Result, ensure};

use super::containers::{self, Change, Container};
use super::tale::Tale;
use super::watch::Watch;
use crate::cluster::PATIENCE;
use crate::cluster::client::{Load, Nanos, Sample};
use crate::cluster::evaluate::{Seen, seen};
use crate::cluster::freehold::INGRESS;
use crate::cluster::loss::INSTANCES;
use crate::cluster::platform::{HOST, Platform, targets};

/// Between two requests of the open client: 250 a second.
const PAUSE: Duration = Duration::from_millis(4);

/// Load before anything is broken, which must go well.
const BEFORE: Duration = Duration::from_secs(1);

/// Failed requests that are less apart, in nanoseconds, are told as one.
const TOGETHER: Nanos = 500_000_000;

/// A run before and while things are broken.
#[derive(Debug)]
pub(super) struct Scene {
    /// The machine whose ingress clients ask.
    pub(super) entry: String,
    /// Containers before.
    pub(super) before: Vec<Container>,
    /// Containers that come and go.
    pub(super) changes: Watch<Change>,
    load: Load,
}

/// What was seen of it.
#[derive(Debug)]
pub(super) struct Ended {
    /// Requests of the open client.
    pub(super) samples: Vec<Sample>,
    /// Containers that came and went.
    pub(super) changes: Vec<Change>,
}

impl Scene {
    /// Starts clients of the ingress of a host that is not among `lost`.
    pub(super) fn begin(platform: &dyn Platform, lost: &BTreeSet<String>) -> Result<Self> {
        let before = containers::running();
        let count = before.len();
        ensure!(count == INSTANCES, "{count} containers run, not {INSTANCES}");
        let lab = platform.lab();
        let stays = |name: &str| !lost.contains(name);
        let hosts = lab.plan().machines.iter().rev();
        let mut hosts = hosts.filter(|it| it.member(Role::Agent).is_some() && stays(&it.name));
        let entry = hosts.next().context("all hosts will be lost")?.name.clone();
        let target = SocketAddrV4::new(*lab.address(&entry, INGRESS)?.ip(), INGRESS);
        let load = Load::start(lab.outside()?, targets(vec![target]), HOST, PAUSE);
        let changes = containers::watch(&before);
        sleep(BEFORE);
        let failed = load.look(|samples| samples.iter().find_map(|it| it.outcome.clone().err()));
        ensure!(failed.is_none(), "before anything was broken: {}", failed.unwrap_or_default());
        Ok(Self { entry, before, changes, load })
    }

    /// The names of the instances that were there before.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.before.iter().map(|container| container.instance.clone()).collect()
    }

    /// How many of them are on these machines.
    pub(super) fn on(&self, machines: &BTreeSet<String>) -> Result<usize> {
        let on = self.before.iter().filter(|it| machines.contains(&it.host)).count();
        ensure!(on > 0, "{machines:?} carry nothing");
        Ok(on)
    }

    /// Waits until so many instances that were not there before have answered since a moment, or
    /// for as long as anything may take; gives when each did first, in milliseconds after it.
    pub(super) fn replaced(&self, since: Nanos, count: usize) -> Vec<f64> {
        let names = self.names();
        let begun = Instant::now();
        loop {
            let found = self.load.look(|samples| seen(samples, since, &names).replacements);
            if found.len() >= count || begun.elapsed() > PATIENCE {
                return found;
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// As [`Self::replaced`], for instances whoever they are.
    pub(super) fn serving(&self, since: Nanos, count: usize) -> Vec<f64> {
        let begun = Instant::now();
        loop {
            let all = |samples: &[Sample]| seen(samples, since, &BTreeSet::new()).replacements;
            let found = self.load.look(all);
            if found.len() >= count || begun.elapsed() > PATIENCE {
                return found;
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Ends it.
    pub(super) fn end(self) -> Result<Ended> {
        let changes = self.changes.stop()?;
        Ok(Ended { samples: self.load.stop()?, changes })
    }
}

impl Ended {
    /// What clients saw since a moment.
    pub(super) fn seen(&self, since: Nanos) -> Seen {
        seen(&self.samples, since, &BTreeSet::new())
    }

    /// What clients saw of requests that ended between two moments.
    pub(super) fn between(&self, since: Nanos, until: Nanos) -> Seen {
        let early = self.samples.iter().filter(|sample| sample.ended < until);
        seen(&early.cloned().collect::<Vec<_>>(), since, &BTreeSet::new())
    }

    /// Says how and when requests failed since a moment.
    pub(super) fn failures(&self, tale: &mut Tale, since: Nanos) {
        tale.failures(&self.seen(since));
        for (first, last, count) in bursts(&self.samples, since) {
            tale.says(first, format!("{count} requests fail that are sent from here on"));
            if last > first {
                tale.says(last, "the last of them is sent");
            }
        }
    }

    /// The changes from a moment on, and those before it.
    pub(super) fn split(&self, at: Nanos) -> (Vec<Change>, Vec<Change>) {
        self.changes.iter().cloned().partition(|change| change.at < at)
    }
}

/// Failed requests that were sent without a pause between them: the first, the last, how many.
fn bursts(samples: &[Sample], since: Nanos) -> Vec<(Nanos, Nanos, usize)> {
    let failed = samples.iter().filter(|it| it.ended >= since && it.outcome.is_err());
    let mut sent: Vec<Nanos> = failed.map(|sample| sample.sent).collect();
    sent.sort_unstable();
    let mut found: Vec<(Nanos, Nanos, usize)> = Vec::new();
    for at in sent {
        match found.last_mut() {
            Some((_, last, count)) if at - *last < TOGETHER => (*last, *count) = (at, *count + 1),
            _ => found.push((at, at, 1)),
        }
    }
    found
}

/// Names of machines.
pub(super) fn machines(platform: &dyn Platform, wanted: &[Role], unwanted: &[Role]) -> Vec<String> {
    let has =
        |it: &::lab::Machine, roles: &[Role]| roles.iter().any(|role| it.member(*role).is_some());
    let all = platform.lab().plan().machines.iter();
    let fits = all.filter(|it| has(it, wanted) && !has(it, unwanted));
    fits.map(|machine| machine.name.clone()).collect()
}

/// The host without a server whose turn it is.
pub(super) fn host_without_server(platform: &dyn Platform, number: usize) -> Result<String> {
    let all = machines(platform, &[Role::Agent], &[Role::Server]);
    all.get(number % all.len().max(1)).cloned().context("all hosts carry servers")
}

/// What a limit of time says of something that never came.
pub(super) fn or_never(value: Option<f64>) -> f64 {
    value.unwrap_or(PATIENCE.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_fail_together_are_one_burst() {
        let sample = |ms: Nanos, good: bool| Sample {
            sent: ms * 1_000_000,
            ended: (ms + 1) * 1_000_000,
            outcome: if good { Ok("a".into()) } else { Err("closed".into()) },
        };
        let samples = [
            sample(1, false),
            sample(300, false),
            sample(100, false),
            sample(400, true),
            sample(900, false),
        ];
        let ms = |ms: Nanos| ms * 1_000_000;
        let wanted = [(ms(100), ms(300), 2), (ms(900), ms(900), 1)];
        assert_eq!(bursts(&samples, ms(50)), wanted);
    }
}
