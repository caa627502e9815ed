//! The figures a machine lives by.

use api::unit::Millis;

/// Between start probes at first.
pub const START_PROBE_FAST: Millis = Millis(25);

/// How long after the start they come so fast.
pub const START_PROBE_FAST_FOR: Millis = Millis(1000);

/// Between start probes from then on.
pub const START_PROBE_SLOW: Millis = Millis(100);

/// Without a health check an instance counts as healthy when it lived so long: what dies at once
/// (a wrong argument, a missing file) is never taken for healthy.
pub const SETTLE: Millis = Millis(50);

/// The shim kills after the grace by itself; so much later the machine asks for it once more, and
/// again every time this has passed.
pub const STOP_MARGIN: Millis = Millis(2000);

/// Before what could not be cleared away is tried again.
pub(super) const CLEAR_AGAIN: Millis = Millis(1000);

/// What one instance is run by; from its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Whether there is a health check; else being alive is being healthy.
    pub checked: bool,
    /// Between checks once it is healthy.
    pub interval: Millis,
    /// So many failed checks in a row and it is unhealthy; as many again and it is killed.
    pub failures: u32,
    /// How long it may take to become healthy.
    pub start_within: Millis,
    /// How long it may take to stop.
    pub stop_grace: Millis,
    /// Whether it is a singleton's: each start waits for a lease.
    pub leased: bool,
}
