//! Deploying an app, and updating a large one, under load.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indexmap::IndexMap;

use super::client::{Load, Sample, now};
use super::evaluate::{milliseconds, seen};
use super::journal::Record;
use super::platform::{HOST, Platform, targets};
use super::{patiently, settle};

/// Instances of a deployment.
const INSTANCES: usize = 12;

/// Instances of the app that is updated.
pub(super) const MANY: usize = 100;

/// Between two requests: 250 a second.
const PAUSE: Duration = Duration::from_millis(4);

/// The longest that all new instances may take to answer.
const WITHIN: Duration = Duration::from_secs(600);

/// From the command that deploys 12 instances until all have answered a client.
pub(super) fn deploy(platform: &mut dyn Platform) -> Result<Record> {
    let entry = targets(Vec::new());
    let follow = platform.follow(entry.clone(), &BTreeSet::new())?;
    let load = Load::start(platform.lab().outside()?, entry, HOST, PAUSE);
    let begun = now();
    platform.deploy(INSTANCES, 1)?;
    let accepted = milliseconds(begun, now());
    let answers = wait_for(&load, begun, &BTreeSet::new(), INSTANCES)?;
    load.stop()?;
    drop(follow);
    settle(platform, INSTANCES)?;
    platform.remove()?;
    let timeline = vec![(accepted, "the command returned".to_owned())];
    let values = answers.last().map(|last| ("last-serving".to_owned(), *last));
    record(platform, "12 instances", values.into_iter().collect(), timeline, BTreeMap::new())
}

/// Deploys the app that is then updated.
pub(super) fn prepare_many(platform: &mut dyn Platform) -> Result<()> {
    platform.deploy(MANY, 1)?;
    settle(platform, MANY)
}

/// From the command that updates 100 instances until all of them are new and serve.
pub(super) fn update(platform: &mut dyn Platform, version: usize) -> Result<Record> {
    settle(platform, MANY)?;
    let before: BTreeSet<String> = platform.instances()?.into_keys().collect();
    let entry = targets(Vec::new());
    let follow = platform.follow(entry.clone(), &BTreeSet::new())?;
    let load = Load::start(platform.lab().outside()?, entry, HOST, PAUSE);
    sleep(Duration::from_secs(1));
    let begun = now();
    platform.deploy(MANY, version)?;
    let accepted = milliseconds(begun, now());
    wait_for(&load, begun, &before, MANY)?;
    patiently("the end of the old ones", || {
        let instances = platform.instances()?;
        let done = instances.len() == MANY && instances.keys().all(|it| !before.contains(it));
        Ok(done.then_some(()))
    })?;
    let done = milliseconds(begun, now());
    let samples = load.stop()?;
    drop(follow);
    let seen = seen(&samples, begun, &before);
    let failed = f64::from(u32::try_from(seen.failed).unwrap_or(u32::MAX));
    let mut values: IndexMap<String, f64> = IndexMap::new();
    values.insert("last-serving".to_owned(), done);
    if platform.has_entry() {
        values.insert("failed".to_owned(), failed);
    }
    let timeline = vec![(accepted, "the command returned".to_owned())];
    record(platform, "100 instances", values, timeline, seen.causes)
}

/// Waits until `count` instances that were not there before have answered; when each did first.
fn wait_for(load: &Load, begun: u64, before: &BTreeSet<String>, count: usize) -> Result<Vec<f64>> {
    let started = Instant::now();
    loop {
        let answered = load.look(|samples: &[Sample]| seen(samples, begun, before).replacements);
        if answered.len() >= count {
            return Ok(answered);
        }
        ensure!(started.elapsed() < WITHIN, "{} of {count} have answered", answered.len());
        sleep(Duration::from_millis(50));
    }
}

fn record(
    platform: &dyn Platform,
    what: &str,
    values: IndexMap<String, f64>,
    timeline: Vec<(f64, String)>,
    failures: BTreeMap<String, usize>,
) -> Result<Record> {
    ensure!(!values.is_empty(), "nothing was measured");
    Ok(Record {
        who: platform.name().to_owned(),
        binary: String::new(),
        at: jiff::Timestamp::now().to_string(),
        what: what.to_owned(),
        values,
        timeline,
        failures,
    })
}
