//! The agent's connections to the servers: one stream for documents and reports, and one connection
//! of its own for every request for logs.
//!
//! Knows what is carried, not what it means: documents go to a channel, reports come from watches.
//! Only what servers say of themselves is heard here: that they live and whether they have their
//! store. By that the stream moves to another server.

mod backoff;
mod body;
mod connect;
mod logs;
mod race;
mod roam;
mod servers;
mod silence;
mod stream;

pub use backoff::Backoff;
pub use connect::{Dialer, LinkError, Reach, Wire};
pub use logs::{BodySender, send_logs};
pub use roam::run;
pub use servers::Servers;
pub use stream::Uplink;
