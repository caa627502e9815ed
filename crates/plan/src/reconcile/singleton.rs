//! A singleton's instance and its successor: epochs, and the wait for a lease to be over.

use std::collections::BTreeSet;

use api::assignment::Entry;
use api::id::InstanceId;
use api::time::Timestamp;

use crate::report::Blocker;
use crate::rollout::Goal;

use super::App;
use super::world::World;

impl App<'_> {
    /// The epoch of the next instance: above all that were ever given out. Zero where the goal is
    /// no singleton.
    pub(super) fn next_epoch(&self, goal: Option<&Goal>, world: &World) -> u32 {
        let spec = goal.and_then(|goal| self.snapshot.spec(self.place, goal.release));
        if !spec.is_some_and(|spec| spec.singleton) {
            return 0;
        }
        let given = world.everywhere(self.place).map(|(_, entry)| entry.epoch).max();
        given.unwrap_or(0).max(self.deployment.epoch).saturating_add(1)
    }

    /// Whether an instance must leave because another one took its place, and so may never run
    /// again.
    pub(super) fn is_superseded(&self, entry: &Entry) -> bool {
        entry.epoch > 0 && entry.epoch < self.deployment.epoch
    }

    /// An instance that may still run on a host that is down, or on one that is no member any more,
    /// and when to look again. That of two which may do so longest.
    pub(super) fn may_still_run(&self, world: &World) -> Option<(Blocker, Timestamp)> {
        let leases = &self.snapshot.leases;
        let known = || world.everywhere(self.place);
        let ids: BTreeSet<&InstanceId> = known().map(|(_, entry)| &entry.instance).collect();
        // Without an epoch it is an instance of a release that was no singleton.
        let assigned = known().filter(|(_, entry)| entry.epoch > 0);
        let assigned = assigned.map(|(host, entry)| (Some(host.clone()), &entry.instance));
        let strangers = leases.strangers(self.place, &ids).map(|instance| (None, instance));
        let all = assigned.chain(strangers).map(|(host, id)| (leases.wait(id), host, id));
        let (wait, host, instance) = all.filter(|(wait, ..)| wait.0 > 0).max()?;
        let blocker = Blocker::Lease { instance: instance.clone(), host, wait };
        Some((blocker, self.now.after(wait)))
    }
}
