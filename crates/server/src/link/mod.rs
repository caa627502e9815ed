//! The servers' end of the agents' streams: one long request of each agent, frames in both
//! directions, and the requests by which agents answer with logs.

mod frames;
mod logs;
mod router;
mod stream;

pub(crate) use frames::Frames;
pub use router::router;
pub(crate) use router::{Unwelcome, refuse};
