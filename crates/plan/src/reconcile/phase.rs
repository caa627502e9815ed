//! When a deployment is complete, when it has failed, and what then: the rules of its phases.

use api::assignment::Wanted;
use api::deployment::{Deployment, Phase, Progress};
use api::id::{HostId, InstanceId};
use api::status::{ExitCause, InstanceState, InstanceStatus};
use api::time::Timestamp;
use api::unit::Millis;

use crate::rollout::Slot;
use crate::snapshot::{Place, Snapshot};

/// How long the fetching of images may take without any progress before a deployment is given up:
/// a 10 GiB image at 100 Mbit/s takes 14 min.
pub(super) const PREPARE_WITHIN: Millis = Millis::secs(15 * 60);

/// An instance with what its host reports.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) slot: Slot,
    pub(super) status: Option<InstanceStatus>,
    pub(super) host: HostId,
    pub(super) replaces: Option<InstanceId>,
}

impl std::ops::Deref for Seen {
    type Target = Slot;
    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl Seen {
    fn prepared(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.state != InstanceState::Preparing)
    }

    /// Whether it died on its host and has not become healthy since. What went away with its host,
    /// or ended because no leader was in reach, says nothing against it.
    pub(super) fn died_here(&self) -> bool {
        self.status.as_ref().is_some_and(|status| {
            let innocent =
                |cause: &ExitCause| matches!(cause, ExitCause::Lost | ExitCause::Deadline);
            let died = status.last_exit.as_ref().is_some_and(|exit| !innocent(&exit.cause));
            died && status.state != InstanceState::Healthy
        })
    }

    /// What the instance is doing, for people.
    pub(super) fn describe(&self) -> String {
        let Some(status) = &self.status else {
            return "its host has not reported it yet".to_owned();
        };
        let state = match status.state {
            InstanceState::Preparing => "preparing",
            InstanceState::Starting => "started, not healthy yet",
            InstanceState::Healthy => "healthy, not yet in every table",
            InstanceState::Unhealthy => "unhealthy",
            InstanceState::Waiting if status.last_exit.is_none() => "waits for its first start",
            InstanceState::Waiting => "died, waits for its next start",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
        };
        let mut text = state.to_owned();
        if let Some(exit) = &status.last_exit {
            text.push_str(&format!(" (last death: {}, restarts: {})", exit.cause, status.restarts));
        }
        if !status.message.is_empty() {
            text.push_str(&format!(": {}", status.message));
        }
        text
    }
}

/// The deployment as it should now be (none when it stays) and when to look again.
pub(super) fn next(
    snapshot: &Snapshot,
    place: &Place,
    deployment: &Deployment,
    seen: &[Seen],
    now: Timestamp,
) -> (Option<Deployment>, Option<Timestamp>) {
    let (Some(release), false) = (deployment.wanted_release(), deployment.phase.is_final()) else {
        return (None, None);
    };
    let Some(spec) = snapshot.spec(place, release) else { return (None, None) };
    let running = || seen.iter().filter(|seen| seen.wanted == Wanted::Run);
    let new: Vec<&Seen> = running().filter(|s| s.release == release && !s.must_move).collect();
    let mut next = deployment.clone();
    let progress = progress(&new).max_each(deployment.progress);
    if progress != deployment.progress {
        next.progress = progress;
        next.progressed = now;
    }
    let only_new = running().count() == new.len();
    let in_service = new.iter().filter(|seen| seen.in_service).count();
    if only_new && new.len() == in_service && count(in_service) == spec.scale.instances {
        match deployment.phase {
            Phase::RollingBack => next.phase = Phase::RolledBack,
            _ => {
                next.phase = Phase::Complete;
                if next.last_good != Some(release) {
                    next.previous_good = next.last_good;
                    next.last_good = Some(release);
                }
                next.reason.clear();
            }
        }
        next.finished = Some(now);
        return (Some(next), None);
    }
    let mut wake = None;
    let started = new.iter().find(|seen| !seen.in_service);
    if let (Phase::Rolling, Some(blocking)) = (deployment.phase, started) {
        let within = if new.iter().all(|seen| seen.in_service || !seen.prepared()) {
            PREPARE_WITHIN.max(spec.rollout.start_within)
        } else {
            spec.rollout.start_within
        };
        let deadline = next.progressed.after(within);
        if deadline <= now {
            let worst = new.iter().filter(|s| !s.in_service).max_by_key(|s| badness(s));
            fail(&mut next, worst.unwrap_or(blocking), within, now);
            return (Some(next), Some(now));
        }
        wake = Some(deadline);
    }
    ((next != *deployment).then_some(next), wake)
}

/// Which of the instances that are not in service tells most about why.
fn badness(seen: &Seen) -> (bool, u32, bool) {
    let status = seen.status.as_ref();
    let died = status.is_some_and(|status| status.last_exit.is_some());
    (died, status.map_or(0, |status| status.restarts), seen.prepared())
}

fn fail(next: &mut Deployment, worst: &Seen, within: Millis, now: Timestamp) {
    next.reason = format!(
        "release {} made no progress for {within}: {}: {}",
        next.release,
        worst.instance,
        worst.describe()
    );
    next.failed_instance = Some(worst.instance.clone());
    next.progress = Progress::default();
    next.progressed = now;
    if next.last_good.is_some_and(|good| good != next.release) {
        next.phase = Phase::RollingBack;
    } else {
        next.phase = Phase::Failed;
        next.finished = Some(now);
    }
}

/// Notes that instances were assigned: time to start counts from then.
pub(super) fn note_assigned(
    deployment: &mut Deployment,
    seen: &[Seen],
    added: u32,
    now: Timestamp,
) {
    let had = seen.iter().filter(|s| s.wanted == Wanted::Run && s.release == deployment.release);
    let assigned = count(had.count()) + added;
    if assigned > deployment.progress.assigned {
        deployment.progress.assigned = assigned;
        deployment.progressed = now;
    }
}

fn progress(new: &[&Seen]) -> Progress {
    Progress {
        assigned: count(new.len()),
        prepared: count(new.iter().filter(|seen| seen.prepared()).count()),
        in_service: count(new.iter().filter(|seen| seen.in_service).count()),
    }
}

trait MaxEach {
    fn max_each(self, other: Self) -> Self;
}

impl MaxEach for Progress {
    fn max_each(self, other: Self) -> Self {
        Self {
            assigned: self.assigned.max(other.assigned),
            prepared: self.prepared.max(other.prepared),
            in_service: self.in_service.max(other.in_service),
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
