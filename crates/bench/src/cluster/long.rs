//! One connection for ten minutes: from inside an instance through its app's service address to an
//! instance of another host, while all other hosts die and come back in turn, the leader's first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::alone::{Measure, figure, record, series};
use super::client::{Nanos, Sample, now};
use super::evaluate::{longest_gap, milliseconds};
use super::freehold::{Freehold, InstanceRow, Settings};
use super::journal::Record;
use super::platform::{APP, Platform};
use super::settle;
use crate::contest::{Budget, OURS, Row};
use crate::machine::Running;
use crate::setting::Setting;

/// Hosts of the cluster.
const HOSTS: usize = 6;

/// Instances of the app whose connection it is. With three of them there is always one that asks
/// and one that answers on two hosts that stay, whoever leads.
const INSTANCES: usize = 3;

/// Another app's, so that there is something to replace everywhere.
const OTHERS: usize = 12;

/// How long a first answer may take.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// How often it is tried to get a connection to an instance of a host that stays: who answers is
/// chosen at random.
const TRIES: usize = 60;

/// How long it lasts and when hosts die.
#[derive(Debug, Clone, Copy)]
struct Times {
    lasts: Duration,
    every: Duration,
    dead: Duration,
}

impl Times {
    const FULL: Self = Self {
        lasts: Duration::from_secs(600),
        every: Duration::from_secs(60),
        dead: Duration::from_secs(10),
    };
    const QUICK: Self = Self {
        lasts: Duration::from_secs(60),
        every: Duration::from_secs(20),
        dead: Duration::from_secs(5),
    };
}

/// Runs what is missing and gives the rows.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let quick = setting.order.quick;
    let (name, times) =
        if quick { ("long-connection-quick", Times::QUICK) } else { (NAME, Times::FULL) };
    let measures = [
        Measure::less("longest-gap", "ms", &[Budget::EachAtMost(1000.0)]),
        Measure::less("broken", "times", &[Budget::EachAtMost(0.0)]),
        Measure::more("answers", "answers", &[]),
        Measure::more("deaths", "hosts", &[]),
    ];
    let start = || {
        let mut freehold = Freehold::start_with(setting, HOSTS, &[], Settings::Default)?;
        freehold.deploy(INSTANCES, 1)?;
        freehold.deploy_manifest(&others())?;
        settle(&mut freehold, INSTANCES)?;
        Ok(freehold)
    };
    let wanted = setting.runs(1, 1);
    series(setting, (name, wanted), &measures, start, |freehold, _| {
        one(freehold, times).map(|record| vec![record])
    })
}

/// Its name.
const NAME: &str = "long-connection";

fn others() -> String {
    format!(
        "app = \"others\"\nteam = \"bench\"\n[process]\ncommand = [\"/hello\"]\nport = 8080\n\
         [resources]\ncpu = \"20m\"\nmemory = \"32MiB\"\npids = 32\n\
         [scale]\ninstances = {OTHERS}\n[health]\nhttp = \"/healthz\"\n"
    )
}

/// A connection between two hosts, neither of them the leader's.
struct Connection {
    client: Running,
    instance: String,
    ends: [String; 2],
}

impl Connection {
    fn open(freehold: &Freehold) -> Result<Self> {
        let (leader, _) = freehold.leader()?;
        let address = freehold.service_address(APP)?;
        let mut rows = freehold.rows_of(APP)?;
        rows.retain(|row| row.state == "healthy" && row.host != leader);
        ensure!(!rows.is_empty(), "no instance off the leader's host");
        for number in 0..TRIES {
            let from = &rows[number % rows.len()];
            let mut client = freehold.start_inside(from, &["--hold", &address])?;
            let first = client.until("a first answer", FIRST_WITHIN, |client| {
                samples(client).into_iter().find_map(|sample| sample.outcome.ok())
            })?;
            let far = |row: &&InstanceRow| row.instance == first && row.host != from.host;
            if let Some(to) = rows.iter().find(far) {
                let ends = [from.host.clone(), to.host.clone()];
                return Ok(Self { client, instance: first, ends });
            }
        }
        bail!("no connection to another host in {TRIES} tries")
    }
}

fn samples(client: &Running) -> Vec<Sample> {
    let text = client.output();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn one(freehold: &mut Freehold, times: Times) -> Result<Record> {
    settle(freehold, INSTANCES)?;
    let mut connection = Connection::open(freehold)?;
    let begun = Instant::now();
    let started = now();
    let mut deaths: Vec<(Nanos, String)> = Vec::new();
    let mut turn = 0_usize;
    while times.every * (u32::try_from(deaths.len()).unwrap_or(u32::MAX) + 1) < times.lasts {
        let number = u32::try_from(deaths.len()).unwrap_or(u32::MAX) + 1;
        std::thread::sleep((times.every * number).saturating_sub(begun.elapsed()));
        let (victim, what) = victim(freehold, &connection.ends, &mut turn, deaths.is_empty())?;
        let silence = freehold.lab().kill(&victim)?;
        deaths.push((silence.monotonic_ns, what));
        std::thread::sleep(times.dead);
        freehold.lab().restart(&victim)?;
        settle(freehold, INSTANCES)?;
    }
    std::thread::sleep(times.lasts.saturating_sub(begun.elapsed()));
    // It must still be there, and asks every 50 ms.
    connection.client.until("an answer at the end", FIRST_WITHIN, |_| Some(()))?;
    let ended = now();
    let all = samples(&connection.client);
    let Connection { instance, ends: [from, to], .. } = connection;
    let Seen { gap, broken, answers } = seen(&all, (started, ended), &instance);
    let what = format!("{from} to {to} for {} s", times.lasts.as_secs());
    let values = [
        ("longest-gap", gap),
        ("broken", figure(broken)),
        ("answers", figure(answers)),
        ("deaths", figure(deaths.len())),
    ];
    let mut record = record(OURS, &what, values);
    record.timeline = timeline(&all, started, ended, &deaths);
    for failed in all.iter().filter_map(|sample| sample.outcome.as_ref().err()) {
        *record.failures.entry(failed.clone()).or_default() += 1;
    }
    Ok(record)
}

/// Who dies next: the leader's host first, then all in turn that are no end of the connection.
fn victim(
    freehold: &Freehold,
    ends: &[String; 2],
    turn: &mut usize,
    first: bool,
) -> Result<(String, String)> {
    let (leader, leads) = freehold.leader()?;
    let machines = &freehold.lab().plan().machines;
    let names: BTreeSet<&String> =
        machines.iter().map(|it| &it.name).filter(|it| !ends.contains(it)).collect();
    let name = if first {
        leader.clone()
    } else {
        *turn += 1;
        let name = names.iter().nth((*turn - 1) % names.len().max(1));
        (*name.context("nothing to kill")?).clone()
    };
    ensure!(names.contains(&name), "the leader's host is an end of the connection");
    let with = if name == leader { format!(" with {leads}") } else { String::new() };
    Ok((name.clone(), format!("{name}{with}")))
}

/// What became of a connection.
struct Seen {
    gap: f64,
    broken: usize,
    answers: usize,
}

/// Evaluates samples of a client that makes another connection only when one broke; another
/// instance's answer tells of that too.
fn seen(samples: &[Sample], (started, ended): (Nanos, Nanos), instance: &str) -> Seen {
    let within: Vec<Sample> =
        samples.iter().filter(|it| (started..=ended).contains(&it.ended)).cloned().collect();
    let good = within.iter().filter(|it| it.outcome.is_ok());
    let last = good.clone().map(|it| it.ended).max().unwrap_or(started);
    let gap = longest_gap(&within, started).unwrap_or_default();
    Seen {
        gap: gap.max(milliseconds(last, ended)),
        broken: within.iter().filter(|it| it.outcome.as_deref() != Ok(instance)).count(),
        answers: good.count(),
    }
}

/// Each death with the longest gap until the next.
fn timeline(
    samples: &[Sample],
    started: Nanos,
    ended: Nanos,
    deaths: &[(Nanos, String)],
) -> Vec<(f64, String)> {
    let ends = deaths.iter().skip(1).map(|(at, _)| *at).chain([ended]);
    let told = deaths.iter().zip(ends).map(|((at, what), until)| {
        let gap =
            gap_between(samples, *at, until).map_or("no answer then".to_owned(), |(from, to)| {
                let (gap, later) = (milliseconds(from, to), milliseconds(*at, from).max(0.0));
                format!("longest gap then {gap:.0} ms, from {later:.0} ms after")
            });
        (milliseconds(started, *at), format!("{what} dies; {gap}"))
    });
    told.collect()
}

/// The two answers that the longest time is between, of those before `until`, the later one after
/// `from`.
fn gap_between(samples: &[Sample], from: Nanos, until: Nanos) -> Option<(Nanos, Nanos)> {
    let good = samples.iter().filter(|it| it.outcome.is_ok() && it.ended < until);
    let times: Vec<Nanos> = good.map(|it| it.ended).collect();
    let pairs = times.windows(2).map(|pair| (pair[0], pair[1])).filter(|(_, to)| *to >= from);
    pairs.max_by_key(|(earlier, later)| later - earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn sample(ended: u64, outcome: Result<&str, &str>) -> Sample {
        let outcome = outcome.map(str::to_owned).map_err(str::to_owned);
        Sample { sent: (ended - 1) * MS, ended: ended * MS, outcome }
    }

    #[test]
    fn a_connection_is_judged_by_its_gaps_to_the_end_and_by_who_answers() {
        let all = [sample(10, Err("early")), sample(100, Ok("a")), sample(400, Ok("a"))];
        let judge = |samples: &[Sample], ended: u64| {
            let seen = seen(samples, (50 * MS, ended * MS), "a");
            (seen.gap, seen.broken, seen.answers)
        };
        assert_eq!(judge(&all, 450), (300.0, 0, 2));
        assert_eq!(judge(&all, 5000), (4600.0, 0, 2), "silence at the end counts");
        let other = [&all[..], &[sample(420, Ok("b")), sample(430, Err("closed"))]].concat();
        assert_eq!(judge(&other, 450), (300.0, 2, 3));
    }

    #[test]
    fn each_death_has_its_gap() {
        let all = [100, 150, 900, 950, 1300, 1350].map(|at| sample(at, Ok("a")));
        let deaths = [(200 * MS, "x".to_owned()), (1000 * MS, "y".to_owned())];
        let told = timeline(&all, 0, 1400 * MS, &deaths);
        assert_eq!(told[0], (200.0, "x dies; longest gap then 750 ms, from 0 ms after".to_owned()));
        assert_eq!(
            told[1],
            (1000.0, "y dies; longest gap then 350 ms, from 0 ms after".to_owned())
        );
    }
}
