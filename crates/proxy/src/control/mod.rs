//! The control protocol between an agent and a proxy: length-delimited JSON over a Unix socket,
//! with file descriptors attached where listening sockets travel.
//!
//! The agent asks, the proxy answers, one request at a time and in order. Every request states
//! wanted facts whole, so that a restarted agent simply says all of it again. The proxy never
//! depends on the connection: when it closes, traffic goes on with the last table.

mod client;
mod frame;
mod message;
pub(crate) mod server;

pub use client::{Client, ClientError};
pub use frame::{FrameError, FrameSocket, MAX_FDS, MAX_FRAME_BYTES};
pub use message::{Greeting, Listener, ListenerRole, Reply, Request, VERSION};
