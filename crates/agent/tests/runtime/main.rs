//! The runtime with real containers: needs root, prints why it skips otherwise.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod adopt;
mod differential;
mod inside;
mod life;
mod limits;
mod logs;
mod support;
