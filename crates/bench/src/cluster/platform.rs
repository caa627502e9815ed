//! What a scenario does with a cluster, whoever's it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::lab::Silence;
use anyhow::{Context, Result};

use super::client::Targets;
use super::lab::Lab;
use crate::machine::Running;

/// The app that all run: the example app, one path for requests.
pub(crate) const APP: &str = "hello";

/// Who is asked for.
pub(crate) const HOST: &str = "hello.bench.test";

/// Instances that serve, by the name with which they answer, and the machines they are on.
pub(crate) type Instances = BTreeMap<String, String>;

/// A cluster with the example app.
pub(crate) trait Platform {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// The machines.
    fn lab(&self) -> &Lab;

    /// Asks for `count` instances of version `version`, and returns as soon as that is accepted.
    fn deploy(&mut self, count: usize, version: usize) -> Result<()>;

    /// Takes the app away and returns when nothing of it is left.
    fn remove(&mut self) -> Result<()>;

    /// The instances that serve now.
    fn instances(&self) -> Result<Instances>;

    /// The machine of who leads, and what else leads there.
    fn leader(&self) -> Result<(String, String)>;

    /// Begins to keep the targets of clients as they are for a client that is told at once; `lost`
    /// are machines that will be killed. Ends when the value is dropped.
    fn follow(&self, targets: Targets, lost: &BTreeSet<String>) -> Result<Box<dyn Follow>>;

    /// Machines were started again: starts on them what does not start by itself.
    fn returned(&mut self, machines: &BTreeSet<String>) -> Result<()>;

    /// Whether all machines take part and `count` instances are spread evenly; what is missing.
    fn unsettled(&mut self, count: usize) -> Result<Option<String>>;

    /// Gives the cluster an address that moves to another machine when its holder dies; clients ask
    /// it from then on.
    fn add_address(&mut self) -> Result<()> {
        anyhow::bail!("it has no virtual addresses")
    }

    /// The machine that holds that address.
    fn holder(&self) -> Result<String> {
        anyhow::bail!("it has no virtual addresses")
    }

    /// Whether clients have an entry that stays, which finds instances for them.
    fn has_entry(&self) -> bool {
        false
    }

    /// Starts the client inside: from an instance that stays, through the app's service address.
    /// None where there is no such address.
    fn hold(&self, _before: &Instances, _lost: &BTreeSet<String>) -> Result<Option<Running>> {
        Ok(None)
    }

    /// What the platform itself says of a loss, in milliseconds after the silence.
    fn said(&self, silence: &Silence) -> Result<Vec<(f64, String)>>;
}

/// Keeps targets up to date until it is dropped.
pub(crate) trait Follow {}

impl Follow for () {}

/// Targets that do not change.
pub(crate) fn targets(addresses: Vec<std::net::SocketAddrV4>) -> Targets {
    Arc::new(parking_lot::Mutex::new(Arc::new(addresses)))
}

/// Whether instances are on all machines, as evenly as can be.
pub(crate) fn is_even(instances: &Instances, machines: usize) -> bool {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in instances.values() {
        *counts.entry(machine).or_default() += 1;
    }
    counts.values().all(|count| *count <= instances.len().div_ceil(machines.max(1)))
}

/// Milliseconds after a silence on the wall clock, of a moment in RFC 3339.
pub(crate) fn after(silence: &Silence, moment: &str) -> Result<f64> {
    let moment: jiff::Timestamp = moment.parse().with_context(|| format!("read {moment:?}"))?;
    let span = moment.as_nanosecond() - silence.wall.as_nanosecond();
    let sign = if span < 0 { -1.0 } else { 1.0 };
    let span = u64::try_from(span.unsigned_abs()).unwrap_or(u64::MAX);
    Ok(sign * std::time::Duration::from_nanos(span).as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_on_four_are_three_on_each() {
        let on = |counts: [usize; 4]| -> Instances {
            let all = counts.iter().enumerate().flat_map(|(host, count)| {
                (0..*count).map(move |number| (format!("{host}-{number}"), format!("host-{host}")))
            });
            all.collect()
        };
        assert!(is_even(&on([3, 3, 3, 3]), 4));
        assert!(!is_even(&on([4, 4, 4, 0]), 4));
        assert!(!is_even(&on([4, 3, 3, 2]), 4));
    }
}
