//! Even spread after the fact: hosts come back, join or change their failure domain, and what runs
//! stands where there was room at the time. A few instances at a time are moved, each by starting
//! one in a better place first; the rollout rules then let the worse placed one go.

use std::cmp::Reverse;

use api::assignment::Wanted;
use api::id::InstanceId;

use crate::report::Blocker;
use crate::rollout::Goal;

use super::phase::Seen;
use super::world::World;
use super::{App, avoided};

/// So many of an app's instances, the worst placed, are looked at for a move in one plan.
const LOOK_AT: usize = 8;

impl App<'_> {
    /// Instances to start beside others that would stand better elsewhere. Only where everything
    /// is in service and nothing is on its way, and within the surge.
    pub(super) fn moves(
        &self,
        goal: &Goal,
        slots: &[Seen],
        world: &mut World,
    ) -> Vec<Option<InstanceId>> {
        let settled = slots.len() == goal.instances as usize
            && slots.iter().all(|seen| seen.slot.in_service && seen.slot.wanted == Wanted::Run)
            && self.snapshot.safe_mode.is_none();
        let at_once = self.snapshot.moves.min(goal.surge) as usize;
        let spec = self.snapshot.spec(self.place, goal.release);
        let Some(spec) = spec.filter(|_| settled && at_once > 0) else { return Vec::new() };
        let (labels, avoid) = (self.labels(), avoided(goal.release, slots));
        let warm = self.warm(world, goal.release);
        let request = self.request(world, spec, &labels, &avoid, &warm);
        let mut worst: Vec<&Seen> =
            slots.iter().filter(|seen| self.snapshot.is_reachable(&seen.host)).collect();
        worst.sort_by_key(|seen| (Reverse(&seen.slot.crowd), Reverse(&seen.slot.instance)));
        let mut moves = Vec::new();
        for seen in worst.into_iter().take(LOOK_AT) {
            if moves.len() < at_once && world.pool.better(&seen.host, &request).is_some() {
                moves.push(Some(seen.slot.instance.clone()));
            }
        }
        moves
    }

    /// Where the even spread is not kept although nothing is on its way.
    pub(super) fn uneven(&self, goal: &Goal, slots: &[Seen], world: &World) -> Vec<Blocker> {
        let Some(spec) = self.snapshot.spec(self.place, goal.release) else { return Vec::new() };
        if slots.len() != goal.instances as usize {
            return Vec::new();
        }
        let (labels, avoid) = (self.labels(), avoided(goal.release, slots));
        let warm = self.warm(world, goal.release);
        let request = self.request(world, spec, &labels, &avoid, &warm);
        let uneven = world.pool.uneven(&request, goal.instances).into_iter();
        uneven.map(|(domain, holds, share)| Blocker::Uneven { domain, holds, share }).collect()
    }
}

/// Pairs of instances that stand for one while its place changes.
pub(super) fn moving(slots: &[Seen]) -> Vec<Blocker> {
    let runs = |seen: &&Seen| seen.slot.wanted == Wanted::Run;
    let pairs = slots.iter().filter(runs).filter_map(|beside| {
        let replaced = beside.replaces.as_ref()?;
        let same = |seen: &&Seen| {
            seen.slot.instance == *replaced && seen.slot.release == beside.slot.release
        };
        let before = slots.iter().filter(runs).find(same)?;
        Some(Blocker::Moving {
            before: (before.slot.instance.clone(), before.host.clone()),
            beside: (beside.slot.instance.clone(), beside.host.clone()),
        })
    });
    pairs.collect()
}
