//! The host's clocks: one that never jumps for deciding, wall time for people.

use std::time::{SystemTime, UNIX_EPOCH};

use api::time::Timestamp;
use plan::restart::Moment;

use crate::runtime::BoottimeMs;

/// Turns moments (milliseconds of CLOCK_BOOTTIME) into wall time and back. The relation is taken
/// once, so that a moment always becomes the same timestamp.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    boot_unix_ms: i64,
}

impl Clock {
    /// Takes the relation of the two clocks as it is now.
    #[must_use]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        let boot = i64::try_from(BoottimeMs::now().0).unwrap_or(i64::MAX);
        Self { boot_unix_ms: wall.saturating_sub(boot) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(BoottimeMs::now().0)
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

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
