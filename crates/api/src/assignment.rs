//! Assignments: everything one host shall run, whole, under one key.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use crate::time::Timestamp;

/// What one host shall run. Only the leader writes it; the agent converges on it. An older
/// generation is refused, so is the same generation with other content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// The host.
    pub host: HostId,
    /// Grows with every change.
    pub generation: Generation,
    /// One entry per instance, sorted by instance.
    pub entries: Vec<Entry>,
    /// Addresses that were given back a short while ago, sorted: nobody but the same app gets one
    /// before its time, so that no late packet or cached answer reaches a stranger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cooling: Vec<Cooling>,
}

/// An address that was given back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Cooling {
    /// The address.
    pub address: Ipv4Addr,
    /// The app that had it and may have it again.
    pub app: AppName,
    /// The environment it had it in.
    pub environment: EnvironmentName,
    /// When others may have it.
    pub until: Timestamp,
}

impl Assignment {
    /// The largest an assignment may be as JSON: 512 KiB, so that it fits a transaction of a store
    /// that takes 1.5 MiB with room for the term compare and a second document.
    pub const MAX_BYTES: usize = 512 << 10;

    /// An assignment of nothing.
    #[must_use]
    pub fn empty(host: HostId) -> Self {
        Self { host, generation: Generation(0), entries: Vec::new(), cooling: Vec::new() }
    }

    /// The entry of an instance.
    #[must_use]
    pub fn entry(&self, instance: &InstanceId) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| entry.instance.cmp(instance)).ok()?;
        self.entries.get(found)
    }
}

/// One instance on one host; about 200 bytes as JSON, 350 with the longest names. What it is made
/// of goes by key ([`crate::protocol::Workload`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The instance.
    pub instance: InstanceId,
    /// Its app.
    pub app: AppName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its release.
    pub release: ReleaseNumber,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Its address, from the host's subnet.
    pub address: Ipv4Addr,
    /// The instance it takes the place of: lets a new leader finish or undo the replacement from
    /// the documents alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<InstanceId>,
    /// A singleton's: from 1, higher with each instance that takes its place. Given to the app to
    /// fence its own storage; with it the instance runs only under a lease ([`crate::lease`]).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What is wanted of an instance, in the order it goes through.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It runs and serves.
    Run,
    /// It runs, takes no new traffic and finishes what it has.
    Drain,
    /// It is stopped; the entry goes when the host reports it gone.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_entry_fits_its_budget() {
        let app = AppName::new("a".repeat(30)).unwrap();
        let environment = EnvironmentName::new("e".repeat(20)).unwrap();
        let entry = Entry {
            instance: InstanceId::compose(&app, &environment, 1),
            replaces: Some(InstanceId::compose(&app, &environment, 2)),
            app,
            environment,
            release: ReleaseNumber(u32::MAX),
            wanted: Wanted::Drain,
            address: Ipv4Addr::new(255, 255, 255, 255),
            epoch: u32::MAX,
        };
        let size = serde_json::to_string(&entry).unwrap().len();
        assert!(size <= 350, "{size} bytes");
    }
}
