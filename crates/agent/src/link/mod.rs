//! The agent's connections to the servers: one stream for documents and reports, and one connection
//! of its own for every request for logs.
//!
//! Knows what is carried, not what it means: documents go to a channel, reports come from watches.

mod backoff;
mod body;
mod connect;
mod logs;
mod stream;

pub use backoff::Backoff;
pub use connect::{Dialer, LinkError};
pub use logs::{BodySender, send_logs};
pub use stream::{Uplink, run};
