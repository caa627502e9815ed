//! Whole clusters beside Docker Swarm: how fast they deploy and update, and what clients see when
//! hosts, hypervisors and leaders die. Both are on the machines of a lab and die by the same call.

mod client;
mod deploy;
mod evaluate;
mod freehold;
mod journal;
mod lab;
mod loss;
mod platform;
mod series;
mod swarm;

pub(crate) use client::hold;
pub(crate) use lab::remove_left;
pub(crate) use loss::Loss;
pub(crate) use series::{Scenario, run};

use std::time::Duration;

use anyhow::Result;

/// How long anything that becomes ready may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks: each may be a process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until `look` gives something.
fn patiently<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{what} took longer than {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until a cluster is whole and quiet.
fn settle(platform: &mut dyn platform::Platform, count: usize) -> Result<()> {
    let mut last = String::new();
    let waited = patiently("settling", || {
        let missing = platform.unsettled(count)?;
        Ok(missing.map(|missing| last = missing).is_none().then_some(()))
    });
    waited.map_err(|error| error.context(format!("{}: {last}", platform.name())))
}
