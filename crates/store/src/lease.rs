//! Which leases live until when, and the task that ends them. Which keys go with a lease is the
//! backend's to know.
//!
//! A backend that outlives its process keeps on disk what a lease has left. Written is the full
//! time at a grant and then only each time half of what stands there has passed, so a lease renewed
//! in time costs no writes. After a restart a lease has what stands on disk: never less than it
//! had, at most twice as much.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::{LeaseId, StoreError};

/// What is left is no longer written when it is shorter than this.
const FINEST_KEPT: Duration = Duration::from_secs(1);

/// How long to wait after leases could not be ended (a full disk) before the next try.
const EXPIRE_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Duration,
    deadline: Duration,
    /// What stands on disk as left; none for a backend without disk.
    kept: Option<Duration>,
}

impl Lease {
    fn left(&self, now: Duration) -> Duration {
        self.deadline.saturating_sub(now)
    }

    /// When something is to be done about it: written again, or ended.
    fn wake_at(&self) -> Duration {
        match self.kept {
            Some(kept) if kept / 2 >= FINEST_KEPT => self.deadline.saturating_sub(kept / 2),
            _ => self.deadline,
        }
    }
}

/// What a renewal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The lease lives its full time again.
    Done(Duration),
    /// It will once the full time stands on disk again: call [`Leases::renewed`] then.
    MustKeep(Duration),
}

/// The living leases. All times are the clock's.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    living: Mutex<BTreeMap<LeaseId, Lease>>,
    changed: Notify,
}

impl Leases {
    /// A lease was granted, or found on disk with `left` to live.
    pub(crate) fn insert(
        &self,
        id: LeaseId,
        ttl: Duration,
        left: Duration,
        disk: bool,
        now: Duration,
    ) {
        let lease = Lease { ttl, deadline: now + left, kept: disk.then_some(left) };
        self.living.lock().insert(id, lease);
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, id: LeaseId) {
        self.living.lock().remove(&id);
    }

    pub(crate) fn renew(&self, id: LeaseId, now: Duration) -> Result<Renewal, StoreError> {
        let mut living = self.living.lock();
        let lease = alive(&mut living, id, now)?;
        if lease.kept.is_some_and(|kept| kept < lease.ttl) {
            return Ok(Renewal::MustKeep(lease.ttl));
        }
        // A later deadline needs no waking: the task looks again at the old one.
        lease.deadline = now + lease.ttl;
        Ok(Renewal::Done(lease.ttl))
    }

    /// The full time stands on disk again.
    pub(crate) fn renewed(&self, id: LeaseId, now: Duration) {
        if let Some(lease) = self.living.lock().get_mut(&id) {
            lease.deadline = now + lease.ttl;
            lease.kept = Some(lease.ttl);
        }
    }

    /// So much stands on disk.
    pub(crate) fn kept(&self, id: LeaseId, left: Duration) {
        if let Some(lease) = self.living.lock().get_mut(&id) {
            lease.kept = Some(left);
        }
    }

    pub(crate) fn left(&self, id: LeaseId, now: Duration) -> Result<Duration, StoreError> {
        Ok(alive(&mut self.living.lock(), id, now)?.left(now))
    }

    /// Those whose time is up.
    pub(crate) fn due(&self, now: Duration) -> Vec<LeaseId> {
        let living = self.living.lock();
        living.iter().filter(|(_, lease)| lease.deadline <= now).map(|(id, _)| *id).collect()
    }

    /// Those of which half of what stands on disk has passed, with what they have left.
    pub(crate) fn stale(&self, now: Duration) -> Vec<(LeaseId, Duration)> {
        let living = self.living.lock();
        let stale =
            living.iter().filter(|(_, lease)| lease.wake_at() <= now && now < lease.deadline);
        stale.map(|(id, lease)| (*id, lease.left(now))).collect()
    }

    /// Everything that lives, with what it has left.
    pub(crate) fn all(&self, now: Duration) -> Vec<(LeaseId, Duration)> {
        self.living.lock().iter().map(|(id, lease)| (*id, lease.left(now))).collect()
    }

    fn wake_at(&self) -> Option<Duration> {
        self.living.lock().values().map(Lease::wake_at).min()
    }
}

fn alive(
    living: &mut BTreeMap<LeaseId, Lease>,
    id: LeaseId,
    now: Duration,
) -> Result<&mut Lease, StoreError> {
    living.get_mut(&id).filter(|lease| lease.deadline > now).ok_or(StoreError::LeaseNotFound(id))
}

/// Calls `tend` whenever a lease is due or stale, until it says by `None` that the store is gone.
pub(crate) async fn drive<F>(leases: Arc<Leases>, clock: Arc<dyn Clock>, tend: F)
where
    F: AsyncFn(Duration) -> Option<Result<(), StoreError>>,
{
    loop {
        match leases.wake_at() {
            // Both arms only wait: dropping either loses nothing, `Notify` keeps its permit.
            Some(at) => tokio::select! {
                () = clock.wait_until(at) => {}
                () = leases.changed.notified() => continue,
            },
            None => {
                leases.changed.notified().await;
                continue;
            }
        }
        match tend(clock.now()).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "end or write down leases; trying again in 1 s");
                clock.wait_until(clock.now() + EXPIRE_AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LeaseId = LeaseId(7);
    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_renewed_in_time_is_never_written_again() {
        let leases = Leases::default();
        leases.insert(ID, s(9), s(9), true, s(0));
        for now in (3..90).step_by(3) {
            assert!(leases.stale(s(now)).is_empty() && leases.due(s(now)).is_empty());
            assert_eq!(leases.renew(ID, s(now)).unwrap(), Renewal::Done(s(9)));
        }
    }

    #[test]
    fn what_is_left_is_written_at_each_half() {
        let leases = Leases::default();
        leases.insert(ID, s(16), s(16), true, s(0));
        assert_eq!(leases.wake_at(), Some(s(8)));
        assert_eq!(leases.stale(s(8)), [(ID, s(8))]);
        leases.kept(ID, s(8));
        assert_eq!(leases.wake_at(), Some(s(12)));
        assert_eq!(leases.renew(ID, s(12)).unwrap(), Renewal::MustKeep(s(16)));
        leases.renewed(ID, s(12));
        assert_eq!(leases.left(ID, s(12)).unwrap(), s(16));
        assert!(leases.due(s(27)).is_empty());
        assert_eq!(leases.due(s(28)), [ID]);
        assert!(leases.renew(ID, s(28)).is_err(), "an expired lease must not come back");
    }
}
