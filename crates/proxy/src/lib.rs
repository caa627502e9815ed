//! The ingress: pure routing and balancing decisions and the engine.
//!
//! - [`decide`]: pure decisions over values: which route, which endpoint, whether to retry, when to
//!   eject, which table to take. No sockets, no clock.
//! - [`control`]: the protocol between an agent and the proxy process, both sides.
//! - [`metrics`]: what the proxy counts, as a typed snapshot.
//! - [`run()`]: the proxy process itself.

pub mod control;
pub mod decide;
mod engine;
pub mod metrics;
mod run;

pub use run::{AccessLog, Options, RunError, run};
