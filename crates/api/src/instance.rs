//! The view of one instance: the join of its host's assignment and status. Never stored.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assignment::{Entry, Wanted};
use crate::host::Host;
use crate::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber};
use crate::status::{InstanceState, InstanceStatus};
use crate::time::Timestamp;

/// An instance as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its app.
    pub app: AppName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its release.
    pub release: ReleaseNumber,
    /// Its id.
    pub instance: InstanceId,
    /// The host it is on.
    pub host: HostId,
    /// The failure domain of that host.
    pub domain: String,
    /// What it is doing; `draining` is added by what is wanted of it, `lost` when its host is taken
    /// for dead.
    pub state: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// How often it was started again after a death.
    pub restarts: u32,
    /// The process id of its first process on the host.
    pub pid: Option<u32>,
    /// How it last died, for people.
    pub exit_cause: Option<String>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// What keeps it from the next state.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Instance {
    /// Joins an entry with what its host reports of it.
    #[must_use]
    pub fn join(host: &Host, entry: &Entry, status: Option<&InstanceStatus>) -> Self {
        let state = match (entry.wanted, status.map(|s| s.state)) {
            _ if host.is_down() => "lost",
            (_, None) => "assigned",
            (Wanted::Drain, Some(InstanceState::Healthy | InstanceState::Unhealthy)) => "draining",
            (_, Some(InstanceState::Preparing)) => "preparing",
            (_, Some(InstanceState::Starting)) => "starting",
            (_, Some(InstanceState::Healthy)) => "healthy",
            (_, Some(InstanceState::Unhealthy)) => "unhealthy",
            (_, Some(InstanceState::Waiting)) => "waiting",
            (_, Some(InstanceState::Stopping)) => "stopping",
            (_, Some(InstanceState::Stopped)) => "stopped",
        };
        Self {
            app: entry.app.clone(),
            environment: entry.environment.clone(),
            release: entry.release,
            instance: entry.instance.clone(),
            host: host.name.clone(),
            domain: host.domain.to_string(),
            state: state.to_owned(),
            address: entry.address,
            restarts: status.map_or(0, |s| s.restarts),
            pid: status.and_then(|s| s.pid).filter(|_| !host.is_down()),
            exit_cause: status.and_then(|s| s.last_exit.as_ref()).map(|e| e.cause.to_string()),
            since: host.down_since.or(status.map(|s| s.since)),
            message: status.map(|s| s.message.clone()).unwrap_or_default(),
        }
    }
}
