//! One request of an outside client, and the clock by which all of them are told.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of this machine share.
pub(crate) type Nanos = u64;

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When it was to be sent.
    pub(crate) sent: Nanos,
    /// When its answer was whole, or it failed.
    pub(crate) ended: Nanos,
    /// The instance that answered, or how it failed.
    pub(crate) outcome: Result<String, String>,
}

/// Now.
pub(crate) fn now() -> Nanos {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
