//! Health checks: one look at an instance from its host, within a time.
//!
//! Decides nothing: what follows from a failed check is the instance machine's work.

mod check;
mod http;

pub use check::{Unhealthy, check};
