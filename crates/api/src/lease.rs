//! Leases of singletons: an instance of an app that never has two may run only as long as its
//! leader lately said so. What is asked and answered here is decided in `plan::singleton`; decision
//! 0009 says why nobody's clock needs to agree with another's.

use serde::{Deserialize, Serialize};

use crate::id::InstanceId;
use crate::unit::Millis;

/// How long an instance may run after its host *sent* the request that was granted.
pub const LEASE: Millis = Millis::secs(3);

/// So much later than a lease's end nothing of it runs any more, whatever clocks of hosts and
/// servers differ in their pace, and however long killing takes.
pub const LEASE_MARGIN: Millis = Millis(500);

/// How often a host asks.
pub const LEASE_EVERY: Millis = Millis(500);

/// A host's request for leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Names the request in its answer. Never used twice by one host, whatever is started anew on
    /// it: an answer is matched with the time at which exactly this request was sent.
    pub number: u64,
    /// The instances.
    pub instances: Vec<LeaseWish>,
}

/// An instance that needs a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseWish {
    /// The instance.
    pub instance: InstanceId,
    /// Whether it ever ran under a lease. It did so when no other could, and any that may come
    /// after it has a higher epoch.
    #[serde(default)]
    pub ran: bool,
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// The request's number.
    pub number: u64,
    /// The instances that may run.
    pub granted: Vec<InstanceId>,
    /// For how long, counted from when the host sent the request.
    pub lease: Millis,
    /// Those that may not, and why, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<LeaseRefusal>,
}

/// An instance that may not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRefusal {
    /// The instance.
    pub instance: InstanceId,
    /// Why, for people.
    pub reason: String,
}
