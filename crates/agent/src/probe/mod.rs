//! The host as an observer of others and as one that is observed: one UDP socket on which it probes
//! the targets of its list and answers whoever has the cluster's key.
//!
//! Reports what it finds and draws no conclusion; the verdict on a host is the planner's.

mod packet;
mod service;

pub use service::{Pulse, Service};

#[cfg(test)]
mod tests;
