//! What a host reports of itself: one document per host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::host::Capacity;
use crate::id::{Generation, HostId, InstanceId};
use crate::time::Timestamp;

/// A host's report. Heartbeats are not in it: it changes only when something did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// The host.
    pub host: HostId,
    /// The assignment that the report answers to.
    pub generation: Generation,
    /// What the host has to give.
    pub capacity: Capacity,
    /// The agent's version.
    pub version: String,
    /// One per instance that the host knows, sorted; dead ones until their entry is gone.
    pub instances: Vec<InstanceStatus>,
    /// Images whose every layer is here, sorted; at most [`crate::warm::MAX_REPORTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Digest>,
}

/// An instance as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceStatus {
    /// The instance.
    pub instance: InstanceId,
    /// What it is doing.
    pub state: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// The process id of its first process on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often it was started again after a death.
    #[serde(default)]
    pub restarts: u32,
    /// How it last died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
    /// What keeps it from the next state, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What an instance is doing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Its image is being fetched or its root prepared.
    Preparing,
    /// Its process runs and has not yet been healthy.
    Starting,
    /// Its process runs and its health check succeeds.
    Healthy,
    /// It was healthy, and its health check fails.
    Unhealthy,
    /// It died and waits for its next start.
    Waiting,
    /// It was told to stop and has not ended yet.
    Stopping,
    /// It ended because it was told to; nothing of it is left.
    Stopped,
}

/// A death of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// What it died of.
    pub cause: ExitCause,
    /// When.
    pub at: Timestamp,
}

/// What an instance died of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// Its first process ended with this exit code.
    Exited(i32),
    /// A signal of this number ended it.
    Signaled(i32),
    /// It reached its memory limit and the kernel killed it.
    OutOfMemory,
    /// It could not be started; the message says why.
    StartFailed(String),
    /// It did not become healthy in time, or stopped being so, and was killed.
    Unhealthy,
    /// It went away without a trace, e.g. by the host's restart.
    Lost,
    /// A singleton whose lease was not renewed in time.
    Deadline,
}

impl std::fmt::Display for ExitCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::StartFailed(message) => write!(f, "start failed: {message}"),
            Self::Unhealthy => f.write_str("unhealthy"),
            Self::Lost => f.write_str("lost"),
            Self::Deadline => f.write_str("singleton deadline"),
        }
    }
}
