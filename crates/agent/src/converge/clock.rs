//! The host's clocks: one that never jumps for deciding, wall time for people.

use api::time::Timestamp;
use plan::restart::Moment;

/// Turns moments (milliseconds since the machine started) into wall time and back. The relation is
/// taken once, so that a moment always becomes the same timestamp.
#[derive(Debug, Clone)]
pub struct Clock {
    clock: clock::Clock,
    boot_unix_ms: i64,
}

impl Clock {
    /// Takes the relation of the clock's two times as it is now.
    #[must_use]
    pub fn new(clock: clock::Clock) -> Self {
        let boot = i64::try_from(clock.since_boot().0).unwrap_or(i64::MAX);
        Self { boot_unix_ms: clock.wall().0.saturating_sub(boot), clock }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.clock.since_boot().0)
    }

    /// A moment in wall time.
    #[must_use]
    pub fn timestamp(&self, moment: Moment) -> Timestamp {
        let moment = i64::try_from(moment.0).unwrap_or(i64::MAX);
        Timestamp(self.boot_unix_ms.saturating_add(moment))
    }

    /// The moment of a wall time; the begin of the clock for times before it.
    #[must_use]
    pub fn moment(&self, time: Timestamp) -> Moment {
        Moment(u64::try_from(time.0.saturating_sub(self.boot_unix_ms)).unwrap_or(0))
    }
}
