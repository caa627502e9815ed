//! Outside clients: what they ask, when, and what came of it. They know of no platform.
//!
//! The open client sends at a fixed rate whatever happens to earlier requests, each on a connection
//! of its own, to its targets in turn. The kept client has one connection and asks on it again and
//! again; when it breaks it makes another. Neither repeats a request.

mod ask;
mod filled;
mod held;
mod kept;
mod open;
mod sample;

pub(crate) use filled::{Filled, fill};
pub(crate) use held::hold;
pub(crate) use kept::Kept;
pub(crate) use open::{Load, Targets, once};
pub(crate) use sample::{Nanos, Sample, now};
