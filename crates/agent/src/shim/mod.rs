//! The process between the agent and one container.
//!
//! The shim is the container's parent. It holds its output and writes the logs, records how it
//! ended, enforces a singleton's deadline, and answers on a socket in the bundle. It outlives the
//! agent, never the other way round. A container never outlives its shim: its first process asks
//! the kernel to be killed when its parent dies, and with it goes everything in its process
//! namespace.
//!
//! It must stay lean and single-threaded: no async runtime, nothing of libcontainer in the parent.
//! A forked child creates the container and exits.

mod client;
mod config;
mod connection;
mod creator;
mod devices;
mod entry;
pub mod log;
mod payload;
mod protocol;
mod record;
mod runc;
mod stopping;
mod supervise;
mod sys;

pub use client::{ClientError, ExitWatch, ShimClient};
pub use entry::main;
pub use protocol::{MAX_FRAME, PROTOCOL_VERSION, Reply, Request, ShimStatus};

pub(crate) use client::{SOCKET, listener_pid};
pub(crate) use config::ShimConfig;
pub(crate) use creator::Order;
pub(crate) use protocol::receive;
pub(crate) use record::{EXIT, SHIM, SPEC, read_exit};
pub(crate) use supervise::Outcome;
