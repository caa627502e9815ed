//! Outside clients: what they ask, when, and what came of it. They know of no platform.
//!
//! The open client sends at a fixed rate whatever happens to earlier requests, each on a connection
//! of its own, to its targets in turn. The kept client has one connection and asks on it again and
//! again; when it breaks it makes another. Neither repeats a request.

mod ask;
mod held;
mod kept;
mod open;

pub(crate) use held::hold;
pub(crate) use kept::Kept;
pub(crate) use open::{Load, Targets};

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
