//! The clock itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::time::Timestamp;
use api::unit::Millis;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::time::Instant;

use crate::offset::{Offset, OffsetError};

/// A clock; cheap to clone, and all clones show the same.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    /// By how many milliseconds the wall time is off.
    offset: Arc<AtomicI64>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// Those of the machine.
    System,
    /// Both run as tokio's does since `origin`.
    Virtual { origin: Instant, wall: Timestamp, up: Millis },
}

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self::with_offset(Offset::default())
    }

    /// The machine's, with its wall time off by so much.
    #[must_use]
    pub fn with_offset(offset: Offset) -> Self {
        Self { source: Source::System, offset: Arc::new(AtomicI64::new(offset.0)) }
    }

    /// The machine's, with the offset that the environment asks for.
    ///
    /// # Errors
    /// The environment says something that is no offset.
    pub fn from_environment() -> Result<Self, OffsetError> {
        Offset::from_environment().map(Self::with_offset)
    }

    /// One of a machine that has been up for `up` and shows `wall` now, and that from here on runs
    /// as tokio's clock does.
    #[must_use]
    pub fn virtual_from(wall: Timestamp, up: Millis) -> Self {
        let source = Source::Virtual { origin: Instant::now(), wall, up };
        Self { source, offset: Arc::default() }
    }

    /// The time of day: for what is shown, and for what was written by this machine.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        let time = match self.source {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Source::Virtual { origin, wall, .. } => wall.after(elapsed(origin)).0,
        };
        Timestamp(time.saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// The time since the machine started, its sleep included (`CLOCK_BOOTTIME`): never jumps, and
    /// is the same for all processes of the machine.
    #[must_use]
    pub fn since_boot(&self) -> Millis {
        match self.source {
            Source::System => Self::machine_up(),
            Source::Virtual { origin, up, .. } => Millis(up.0 + elapsed(origin).0),
        }
    }

    /// How long this machine has been up (`CLOCK_BOOTTIME`).
    #[must_use]
    pub fn machine_up() -> Millis {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Millis(seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000)
    }

    /// Sets the wall time to another offset, as who sets a machine's clock does.
    pub fn set_offset(&self, offset: Offset) {
        self.offset.store(offset.0, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// The clock that certificates are judged by.
impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = u64::try_from(self.wall().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since)))
    }
}

fn elapsed(since: Instant) -> Millis {
    Millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_off_by_its_offset() {
        let (right, wrong) = (Clock::system(), Clock::with_offset(Offset(-3_600_000)));
        let between = right.wall().since(wrong.wall());
        assert!((3_599_000..=3_601_000).contains(&between.0), "{between}");
        assert!(right.since_boot() <= wrong.since_boot(), "no offset there");
        let seconds = wrong.current_time().unwrap().as_secs();
        assert!(seconds.abs_diff(u64::try_from(wrong.wall().0).unwrap() / 1000) <= 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_runs_with_tokios_and_only_its_wall_time_jumps() {
        let clock = Clock::virtual_from(Timestamp(1_000_000), Millis(5));
        let (same, boot) = (clock.clone(), clock.since_boot());
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(clock.wall(), Timestamp(1_600_000));
        clock.set_offset(Offset(-90_000));
        assert_eq!(same.wall(), Timestamp(1_510_000));
        assert_eq!(same.since_boot(), Millis(boot.0 + 600_000));
    }
}
