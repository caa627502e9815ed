//! Who is dead: what observers are asked and say, and what is believed of a host. The verdict is
//! the planner's; nothing here decides.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Generation, HostId};

/// What is believed of a host. Never stored, but for [`Self::Down`], which the leader writes as the
/// host's `down_since`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// A server hears its agent.
    #[default]
    Alive,
    /// No server hears its agent, but observers do: its work is left alone.
    CutOff,
    /// Neither servers nor a majority of the voting observers hear it: traffic leaves it.
    Suspect,
    /// Silent for so long that its work is replaced.
    Down,
}

/// Whom a host is to probe. Sent whole; a host probes the targets of the newest list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// Grows with every change of content, per leader's term.
    pub generation: Generation,
    /// The targets, sorted by host.
    pub targets: Vec<ObserveTarget>,
}

/// A host that is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveTarget {
    /// The host.
    pub host: HostId,
    /// Where its agent answers probes, over UDP.
    pub address: SocketAddr,
}

/// What an observer finds, whole; sent at once when a target falls silent or returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The list it answers to.
    pub generation: Generation,
    /// Targets whose answers are overdue, sorted. All others of the list are heard.
    pub silent: Vec<HostId>,
    /// Whether its word counts: its own timer was in time and it hears at least one target.
    pub votes: bool,
}
