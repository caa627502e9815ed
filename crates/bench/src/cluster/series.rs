//! A scenario's series: who still lacks runs is brought up and measured, as long as there is time;
//! then everything that is in the journal becomes rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::deploy;
use super::freehold::{self, Freehold};
use super::journal::{Journal, Record};
use super::loss::{self, Loss};
use super::platform::Platform;
use super::swarm::{Settings, Swarm};
use crate::contest::{Better, Budget, OURS, Row, Summary};
use crate::setting::Setting;

/// What is done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Twelve instances come.
    Deploy,
    /// A hundred are replaced by a new version.
    Update,
    /// Machines die.
    Loss(Loss),
}

impl Scenario {
    /// Its name, which rows begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy-12",
            Self::Update => "update-100",
            Self::Loss(Loss::Host) => "host-loss",
            Self::Loss(Loss::Hypervisor) => "hypervisor-loss",
            Self::Loss(Loss::Leader) => "leader-loss",
            Self::Loss(Loss::Holder) => "vip-loss",
        }
    }

    fn shape(self) -> (usize, usize) {
        match self {
            Self::Deploy | Self::Update => (4, 0),
            Self::Loss(loss) => loss.shape(),
        }
    }

    /// Runs of ours, and of each peer.
    fn runs(self) -> (usize, usize) {
        match self {
            Self::Loss(_) => (60, 10),
            Self::Deploy => (20, 10),
            Self::Update => (5, 1),
        }
    }

    /// A row's figure, its unit, and what it must keep.
    fn measures(self) -> Vec<(&'static str, &'static str, Vec<Budget>)> {
        let ninth = Budget::TimesAtMost("swarm", 1.0 / 9.0);
        match self {
            Self::Deploy => {
                vec![("last-serving", "ms", vec![Budget::TimesAtMost("swarm", 1.0)])]
            }
            Self::Update => vec![
                ("last-serving", "ms", vec![Budget::TimesAtMost("swarm", 1.0)]),
                ("failed", "requests", vec![Budget::AtMost(0.0)]),
            ],
            Self::Loss(Loss::Holder) => vec![
                ("takeover", "ms", vec![Budget::AtMost(1500.0)]),
                ("last-failed", "ms", vec![Budget::AtMost(2000.0)]),
                ("failed", "requests", vec![]),
                ("kept-gap", "ms", vec![Budget::AtMost(2000.0)]),
                ("last-serving", "ms", vec![]),
            ],
            Self::Loss(loss) => {
                let limit = if loss == Loss::Leader { 4000.0 } else { 2000.0 };
                vec![
                    ("suspect", "ms", vec![]),
                    ("down", "ms", vec![]),
                    ("planned", "ms", vec![]),
                    ("written", "ms", vec![]),
                    ("first-serving", "ms", vec![]),
                    ("last-serving", "ms", vec![Budget::AtMost(limit), ninth]),
                    ("last-failed", "ms", vec![Budget::AtMost(1000.0)]),
                    ("failed", "requests", vec![]),
                    ("kept-gap", "ms", vec![Budget::AtMost(1000.0)]),
                    ("service-gap", "ms", vec![Budget::AtMost(1000.0)]),
                ]
            }
        }
    }
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    /// Ours with what its documentation names for speed.
    OursFast,
    Swarm(Settings),
}

impl Who {
    const ALL: [Self; 4] =
        [Self::Ours, Self::OursFast, Self::Swarm(Settings::Default), Self::Swarm(Settings::Fast)];

    /// Whether it takes part: there is nothing to set for speed but updates.
    fn is_in(self, scenario: Scenario) -> bool {
        self != Self::OursFast || scenario == Scenario::Update
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::OursFast => freehold::Settings::Fast.name(),
            Self::Swarm(settings) => settings.name(),
        }
    }

    fn start(self, setting: &Setting, scenario: Scenario) -> Result<Box<dyn Platform>> {
        let (hosts, hypervisors) = scenario.shape();
        Ok(match self {
            Self::Ours => Box::new(Freehold::start(setting, hosts, hypervisors)?),
            Self::OursFast => {
                let on = hypervisors.to_string();
                let arguments = ["--hypervisors", &on];
                let fast = freehold::Settings::Fast;
                Box::new(Freehold::start_with(setting, hosts, &arguments, fast)?)
            }
            Self::Swarm(settings) => Box::new(Swarm::start(setting, settings, hosts, hypervisors)?),
        })
    }
}

/// Runs what is missing of a scenario, and gives its rows.
pub(crate) fn run(setting: &Setting, scenario: Scenario) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let order = &setting.order;
    let mut journal = Journal::open(&order.journal, scenario.name(), &order.freehold)?;
    let (ours, peers) = scenario.runs();
    let mut failures = Vec::new();
    for who in Who::ALL.into_iter().filter(|who| who.is_in(scenario)) {
        let own = matches!(who, Who::Ours | Who::OursFast);
        let runs = if own { ours } else { peers };
        let wanted = setting.runs(runs, 1);
        let wanted = if own { wanted } else { wanted.min(peers) };
        let left = order.within.map(|within| within.saturating_sub(begun.elapsed()));
        if journal.of(who.name()).len() >= wanted || left.is_some_and(|left| left.is_zero()) {
            continue;
        }
        let end = left.map(|left| Instant::now() + left);
        if let Err(error) = measure(setting, scenario, who, wanted, end, &mut journal) {
            eprintln!("  {}: {error:#}", who.name());
            failures.push((who, format!("{error:#}")));
        }
    }
    if let Some((_, why)) = failures.iter().find(|(who, _)| *who == Who::Ours) {
        anyhow::bail!("{why}");
    }
    tell_worst(&journal);
    rows(scenario, &journal, &failures)
}

fn measure(
    setting: &Setting,
    scenario: Scenario,
    who: Who,
    wanted: usize,
    end: Option<Instant>,
    journal: &mut Journal,
) -> Result<()> {
    let begun = Instant::now();
    let mut platform = who.start(setting, scenario)?;
    eprintln!("  {} is up after {:.1} s", who.name(), begun.elapsed().as_secs_f64());
    let platform = platform.as_mut();
    match scenario {
        // The first one fetches what later ones have.
        Scenario::Deploy => drop(deploy::deploy(platform)?),
        Scenario::Update => deploy::prepare_many(platform)?,
        Scenario::Loss(loss) => loss::prepare(platform, loss)?,
    }
    let mut longest = Duration::ZERO;
    while journal.of(who.name()).len() < wanted {
        let number = journal.of(who.name()).len();
        // One that cannot end in time is not begun.
        if number > 0 && end.is_some_and(|end| Instant::now() + longest > end) {
            break;
        }
        let begun = Instant::now();
        let record = match scenario {
            Scenario::Deploy => deploy::deploy(platform),
            Scenario::Update => deploy::update(platform, number + 2),
            Scenario::Loss(loss) => loss::run(platform, loss, number),
        };
        let record = record.with_context(|| format!("run {number} of {}", who.name()))?;
        longest = longest.max(begun.elapsed());
        tell(number, &record);
        journal.add(record)?;
    }
    let done = journal.of(who.name()).len();
    if done < wanted {
        eprintln!("  {}: {done} of {wanted} runs; the same command goes on", who.name());
    }
    Ok(())
}

fn tell(number: usize, record: &Record) {
    let value = |name: &str| record.values.get(name).copied().unwrap_or_default();
    eprintln!(
        "  {} {number}: {}: last serving after {:.0} ms, last failed at {:.0} ms, {} failed",
        record.who,
        record.what,
        value("last-serving"),
        value("last-failed"),
        value("failed")
    );
}

/// Prints the worst run of ours with its timeline.
fn tell_worst(journal: &Journal) {
    let of = |record: &&&Record| record.values.get("last-serving").copied().unwrap_or_default();
    let ours = journal.of(OURS);
    let Some(worst) = ours.iter().max_by(|a, b| of(a).total_cmp(&of(b))) else { return };
    eprintln!("  worst run of ours: {} at {}", worst.what, worst.at);
    for (at, what) in &worst.timeline {
        eprintln!("  {at:>9.1} ms  {what}");
    }
    for (cause, count) in &worst.failures {
        eprintln!("  {count} requests failed: {cause}");
    }
}

fn rows(scenario: Scenario, journal: &Journal, failures: &[(Who, String)]) -> Result<Vec<Row>> {
    let summary = |who: Who, value: &str| {
        let records = journal.of(who.name());
        let values: Vec<f64> =
            records.iter().filter_map(|record| record.values.get(value).copied()).collect();
        Summary::of(&values, Better::Less)
    };
    let mut rows = Vec::new();
    for (value, unit, budgets) in scenario.measures() {
        let Some(ours) = summary(Who::Ours, value) else { continue };
        let mut row = Row::new(&format!("{}-{value}", scenario.name()), unit, ours);
        for who in Who::ALL[1..].iter().filter(|who| who.is_in(scenario)) {
            match summary(*who, value) {
                Some(theirs) => row.peer(who.name(), theirs),
                None => {
                    let why = failures.iter().find(|(failed, _)| failed == who);
                    let why = why.map_or("not measured", |(_, why)| why);
                    row.skipped.insert(who.name().to_owned(), why.to_owned());
                }
            }
        }
        row.judge(&budgets);
        rows.push(row);
    }
    rows.extend(share_in_time(scenario, journal));
    anyhow::ensure!(!rows.is_empty(), "no run of ours");
    Ok(rows)
}

/// Which share of our runs was over within three seconds (four with the leader).
fn share_in_time(scenario: Scenario, journal: &Journal) -> Option<Row> {
    let (limit, share) = match scenario {
        Scenario::Loss(Loss::Host | Loss::Hypervisor) => (3000.0, 95.0),
        Scenario::Loss(Loss::Leader) => (4000.0, 100.0),
        _ => return None,
    };
    let records = journal.of(OURS);
    let values: Vec<f64> =
        records.iter().filter_map(|record| record.values.get("last-serving").copied()).collect();
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let good = values.iter().filter(|value| **value <= limit).count();
    let median = count(good) / count(values.len().max(1)) * 100.0;
    let name = format!("{}-within-{}s", scenario.name(), if share < 100.0 { 3 } else { 4 });
    let mut row = Row::new(&name, "%", Summary { median, p99: median, runs: values.len() });
    row.judge(&[Budget::AtLeast(share)]);
    Some(row)
}
