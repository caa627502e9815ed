//! When and why a container is to be killed. Pure: the caller brings the time and does the killing.

use crate::runtime::{BoottimeMs, StopReason};

/// What the shim knows about ending its container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stopping {
    kill_at: Option<BoottimeMs>,
    deadline: Option<BoottimeMs>,
    killed_for: Option<StopReason>,
}

impl Stopping {
    pub(super) fn with_deadline(deadline: Option<BoottimeMs>) -> Self {
        Self { deadline, ..Self::default() }
    }

    pub(super) fn deadline(&self) -> Option<BoottimeMs> {
        self.deadline
    }

    /// Notes that somebody asked; whether this was the first time, so that the signal is to be
    /// sent.
    pub(super) fn ask(&mut self, now: BoottimeMs, grace_ms: u64) -> bool {
        let at = now.plus_ms(grace_ms);
        let first = self.kill_at.is_none();
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        first
    }

    /// Moves the deadline, never back; false when there is none or it has passed.
    pub(super) fn renew(&mut self, now: BoottimeMs, deadline: BoottimeMs) -> bool {
        match &mut self.deadline {
            Some(current) if now < *current => {
                *current = deadline.max(*current);
                true
            }
            _ => false,
        }
    }

    /// Whether it is to be killed now. Stays so: killing is repeated until it is dead.
    pub(super) fn due(&mut self, now: BoottimeMs) -> bool {
        if self.killed_for.is_none() {
            let passed = |at: Option<BoottimeMs>| at.is_some_and(|at| at <= now);
            self.killed_for = if passed(self.deadline) {
                Some(StopReason::Deadline)
            } else if passed(self.kill_at) {
                Some(StopReason::GraceOver)
            } else {
                None
            };
        }
        self.killed_for.is_some()
    }

    /// When to look again.
    pub(super) fn wake_at(&self) -> Option<BoottimeMs> {
        match self.killed_for {
            Some(_) => None,
            None => [self.kill_at, self.deadline].into_iter().flatten().min(),
        }
    }

    /// Why it ended, as far as that was our doing.
    pub(super) fn reason(&self) -> Option<StopReason> {
        self.killed_for.or(self.kill_at.map(|_| StopReason::Asked))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: BoottimeMs = BoottimeMs(1000);

    #[test]
    fn grace_can_only_shrink() {
        let mut stopping = Stopping::default();
        assert!(!stopping.due(NOW));
        assert!(stopping.ask(NOW, 5000));
        assert!(!stopping.ask(NOW, 9000));
        assert_eq!(stopping.wake_at(), Some(BoottimeMs(6000)));
        assert!(!stopping.ask(NOW, 10));
        assert_eq!(stopping.reason(), Some(StopReason::Asked));
        assert!(!stopping.due(BoottimeMs(1009)));
        assert!(stopping.due(BoottimeMs(1010)));
        assert_eq!(stopping.reason(), Some(StopReason::GraceOver));
    }

    proptest! {
        /// No order of renewals lets it live past the latest deadline granted, or die before it.
        #[test]
        fn a_deadline_holds(steps in proptest::collection::vec((0u64..300, 0u64..3000), 0..40)) {
            let mut stopping = Stopping::with_deadline(Some(NOW.plus_ms(500)));
            let (mut now, mut latest) = (NOW, NOW.plus_ms(500));
            for (wait, lease) in steps {
                now = now.plus_ms(wait);
                let alive = now < latest;
                prop_assert_eq!(stopping.due(now), !alive);
                prop_assert_eq!(stopping.renew(now, now.plus_ms(lease)), alive);
                if alive {
                    latest = latest.max(now.plus_ms(lease));
                } else {
                    prop_assert_eq!(stopping.reason(), Some(StopReason::Deadline));
                    break;
                }
            }
        }
    }
}
