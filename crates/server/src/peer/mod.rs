//! What servers say to each other: every server holds one stream to every other, on which it tells
//! what it hears from its agents and, when it leads, what it has published.
//!
//! Streams only carry; what was said is kept by the core, and nothing here decides.

mod connect;
mod logs;
mod relay;
mod serve;
mod speak;

pub(crate) use connect::PeerError;
pub use connect::{PeerDialer, Reach, Wire};
pub use serve::router;
pub(crate) use serve::server_of;
pub use speak::run;
