//! The proxy on this host: its sockets, its process, its table.
//!
//! The agent owns the listening sockets, so that a proxy that dies refuses no connection; the proxy
//! outlives the agent, so that an agent that dies changes nothing. After a restart the agent takes
//! the sockets back from the proxy it finds.

mod gateway;
mod process;
mod sockets;
mod supervisor;

pub use gateway::{Gateway, GatewayOptions, keep_gateway};
pub use process::{Process, ProxyCommand};
pub use sockets::{SocketError, Sockets, wanted_ports};
pub use supervisor::{Ingress, IngressError, IngressOptions, Traffic};
