//! The messages of the control protocol. Unknown fields are ignored, so that either side may be
//! the newer one; a changed meaning needs a new [`VERSION`].

use std::net::{IpAddr, SocketAddr};

use api::id::Generation;
use api::ingress::IngressTable;
use serde::{Deserialize, Serialize};

use crate::metrics::Snapshot;

/// The protocol's version; each side says its own and the older one's rules hold.
pub const VERSION: u32 = 1;

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerRole {
    /// Plain HTTP/1.1 and HTTP/2 by prior knowledge.
    Http,
    /// TLS.
    Https,
    /// Plain TCP for the routes of this public port (which need not be the socket's own).
    Tcp(u16),
}

/// One listening socket; the descriptors travel beside the message in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// What it is for.
    pub role: ListenerRole,
    /// Where it is bound. Ignored when sent to the proxy, which asks the socket itself.
    pub address: SocketAddr,
}

/// What an agent asks of a proxy. Carries descriptors: `Listen`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// Opens the talk; answered by [`Reply::Hello`].
    Hello {
        /// The agent's [`VERSION`].
        version: u32,
    },
    /// All sockets the proxy shall accept on, with their descriptors. A socket it already has
    /// (same role, same address) goes on undisturbed, one that is no longer listed is closed.
    Listen {
        /// In the order of the descriptors; at most [`super::MAX_FDS`].
        listeners: Vec<Listener>,
    },
    /// The table to serve; answered by [`Reply::Ack`] once every worker uses it, or
    /// [`Reply::Refused`].
    Table {
        /// The whole table.
        table: Box<IngressTable>,
    },
    /// These addresses are suspected dead: connections to them are aborted now, requests that may
    /// be retried go elsewhere, and they are avoided until they answer again.
    Abort {
        /// Host or instance addresses.
        addresses: Vec<IpAddr>,
    },
    /// Stop accepting, tell clients to go, finish what is under way and exit.
    Drain {
        /// How long to wait for it in milliseconds; then the rest is cut.
        deadline_ms: u64,
    },
    /// Asks for the counters.
    Metrics,
    /// Asks for the listening sockets back, for an agent that lost its own descriptors.
    Fds,
}

/// What a proxy answers. Carries descriptors: `Fds`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// The answer to `Hello`.
    Hello(Greeting),
    /// The sockets are being accepted on.
    Listening {
        /// All of them, with the addresses they are really bound to.
        listeners: Vec<Listener>,
    },
    /// Every worker serves by this generation.
    Ack {
        /// Of the table.
        generation: Generation,
    },
    /// The request was not followed; what held before still holds.
    Refused {
        /// Why, with the subject.
        reason: String,
    },
    /// The connections to the addresses are aborted.
    Aborted {
        /// How many there were.
        connections: u64,
    },
    /// Draining has begun; the process exits when it is done.
    Draining,
    /// The counters.
    Metrics {
        /// Of all workers together.
        snapshot: Box<Snapshot>,
    },
    /// The listening sockets, descriptors in the same order.
    Fds {
        /// What they are for and where they are bound.
        listeners: Vec<Listener>,
    },
}

/// How a proxy introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The proxy's [`VERSION`].
    pub version: u32,
    /// Its process id.
    pub pid: u32,
    /// The generation it serves by; `None` before its first table.
    pub generation: Option<Generation>,
    /// The sockets it accepts on.
    pub listeners: Vec<Listener>,
    /// Whether it is on its way out.
    pub draining: bool,
}
