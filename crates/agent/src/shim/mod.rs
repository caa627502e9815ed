//! The process between the agent and one container.
//!
//! The shim is the container's parent. It holds its output and writes the logs, records how it ended,
//! enforces a singleton's deadline, and answers on a socket in the bundle. It outlives the agent, never
//! the other way round; a container never outlives its shim.
//!
//! It must stay lean and single-threaded: no async runtime, nothing of libcontainer in the parent. A
//! forked child creates the container and exits.

mod client;
mod protocol;
mod record;

pub use client::{ClientError, ExitWatch, ShimClient};
pub use protocol::{MAX_FRAME, PROTOCOL_VERSION, Reply, Request, ShimStatus};
