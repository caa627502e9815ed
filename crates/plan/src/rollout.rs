//! How an app in an environment gets from what it runs to what it should run: make before break,
//! step by step, from present state alone. Knows nothing of hosts and addresses.

use api::assignment::Wanted;
use api::id::{InstanceId, ReleaseNumber};

/// What is wanted of an app in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// The release that instances are wanted of.
    pub release: ReleaseNumber,
    /// How many.
    pub instances: u32,
    /// How many may exist beyond that for a while.
    pub surge: u32,
    /// How many may be missing for a while.
    pub max_unavailable: u32,
}

/// An instance that is assigned to a host that is not taken for dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The instance.
    pub instance: InstanceId,
    /// Its release.
    pub release: ReleaseNumber,
    /// What is wanted of it now.
    pub wanted: Wanted,
    /// Whether it does its work, whoever knows of it.
    pub healthy: bool,
    /// Whether it is healthy and every table has it. While a host that came back has no tables yet,
    /// nobody is known to be.
    pub in_service: bool,
    /// Whether its host is to be emptied.
    pub must_move: bool,
    /// Whether it died again and again and is not healthy.
    pub ill: bool,
    /// How crowded its failure domains are, outermost first, the host last; of two that do the
    /// same, the one in the more crowded place goes.
    pub crowd: Vec<u32>,
}

/// What to do next. Additions may find no host; removals are safe whether they do or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// Instances to add, each with the one whose place it takes.
    pub add: Vec<Option<InstanceId>>,
    /// Instances to drain now.
    pub drain: Vec<InstanceId>,
}

/// Decides the next step towards `goal`; without a goal everything leaves.
///
/// * Never are there more than `instances + surge` because of an addition, whatever the state of
///   those
///   that exist: one that is leaving counts until it is gone.
/// * Nothing healthy is drained when fewer than `instances - max_unavailable` would stay in
///   service.
/// * Nothing is drained that the goal can't do without: the new ones in service and the old ones
///   that
///   stay are together enough, so that a release that never works costs no old instance.
/// * Where there are more of the wanted release than wanted (a host came back after its work was
///   replaced, or one is being moved for an even spread), those who are ill leave first, then the
///   one in the most crowded place, and only when the others are enough in service: a better placed
///   one that is still starting is waited for.
pub fn step(goal: Option<&Goal>, slots: &[Slot]) -> Step {
    let running = slots.iter().filter(|slot| slot.wanted == Wanted::Run);
    let Some(goal) = goal else {
        let drain = running.map(|slot| slot.instance.clone()).collect();
        return Step { add: Vec::new(), drain };
    };
    let (mut new, mut old): (Vec<&Slot>, Vec<&Slot>) =
        running.partition(|slot| slot.release == goal.release && !slot.must_move);
    let floor = goal.instances.saturating_sub(goal.max_unavailable);

    let missing = goal.instances.saturating_sub(count(new.len()));
    let room = (goal.instances + goal.surge).saturating_sub(count(slots.len()));
    // Those out of service leave first, then those in the most crowded place, then the youngest
    // name.
    let order = |slot: &&Slot| {
        let crowd = std::cmp::Reverse(slot.crowd.clone());
        (slot.healthy, slot.in_service, crowd, std::cmp::Reverse(slot.instance.clone()))
    };
    old.sort_by_key(order);
    new.sort_by_key(|slot| {
        let crowd = std::cmp::Reverse(slot.crowd.clone());
        (!slot.ill, crowd, slot.in_service, std::cmp::Reverse(slot.instance.clone()))
    });
    let add: Vec<Option<InstanceId>> = (0..missing.min(room) as usize)
        .map(|n| old.get(n).map(|slot| slot.instance.clone()))
        .collect();

    let mut in_service = count(new.iter().chain(&old).filter(|slot| slot.in_service).count());
    let new_in_service = count(new.iter().filter(|slot| slot.in_service).count());
    let mut drain = Vec::new();
    let mut old_left = count(old.len());
    for slot in old {
        let enough = old_left - 1 + new_in_service >= floor;
        let others = in_service - u32::from(slot.in_service);
        if enough && (!slot.healthy || others >= floor) {
            old_left -= 1;
            in_service = others;
            drain.push(slot.instance.clone());
        }
    }
    let surplus = count(new.len()).saturating_sub(goal.instances);
    for slot in new.iter().take(surplus as usize) {
        let others = in_service - u32::from(slot.in_service);
        if (slot.ill && !slot.in_service) || others >= floor {
            in_service = others;
            drain.push(slot.instance.clone());
        }
    }
    Step { add, drain }
}

/// Counts of instances fit 32 bits: an app has at most 10,000.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
