//! Servers: the processes of the control plane. All are equal, one leads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ServerId;
use crate::time::Timestamp;

/// A server as it wrote itself down when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its name.
    pub name: ServerId,
    /// Where agents, other servers and users reach it, `HOST:PORT`.
    pub address: String,
    /// The binary's version.
    pub version: String,
    /// When it started last, by its own clock.
    pub started: Timestamp,
}

/// A server as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// The server.
    #[serde(flatten)]
    pub server: Server,
    /// Whether it leads, as far as the server that answers knows.
    pub leads: bool,
    /// Whether the server that answers hears it.
    pub connected: bool,
}
