//! Who is dead: what observers are asked and say, and what is believed of a host. The verdict is
//! the planner's; nothing here decides.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Generation, HostId};
use crate::unit::Millis;

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

/// The UDP port on which agents answer probes, where operators say nothing else.
pub const PROBE_PORT: u16 = 7444;

/// When a host is taken for what; the same at every size of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTimes {
    /// Between two probes of one target.
    pub every: Millis,
    /// After so much silence traffic leaves a host.
    pub suspect: Millis,
    /// After so much silence a host's work is replaced.
    pub down: Millis,
}

impl Default for ProbeTimes {
    fn default() -> Self {
        Self { every: Millis(150), suspect: Millis(750), down: Millis(1500) }
    }
}

/// What probes and their answers are authenticated with: one per cluster, random, at least 32
/// characters. Never shown. An empty one is none: nothing is probed or answered.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeKey(pub String);

impl std::fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProbeKey(…)")
    }
}

/// Whom a host is to probe. Sent whole; a host probes the targets of the list it got last, and
/// answers whoever has the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// Another one for every other content; what the host finds names it.
    pub generation: Generation,
    /// The cluster's key.
    pub key: ProbeKey,
    /// How often to probe and when to speak.
    #[serde(default)]
    pub times: ProbeTimes,
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

/// What an observer finds, whole; sent at once when a target's silence reaches
/// [`ProbeTimes::suspect`] or [`ProbeTimes::down`], and when the target returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The list it answers to.
    pub generation: Generation,
    /// Targets that have been silent for long, sorted by host. All others of the list are heard.
    pub silent: Vec<Silence>,
    /// Whether its word counts: its own timer was in time for as long as it takes to suspect.
    pub votes: bool,
}

/// A target that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The target.
    pub host: HostId,
    /// For how long it has been silent at least; on the observer's own monotonic clock.
    pub silent: Millis,
}
