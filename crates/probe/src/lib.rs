//! Observing other machines and being observed: one UDP socket on which a process probes the
//! targets of its list, and answers whoever has the cluster's key where a host stands behind it.
//! Agents do both; servers only probe.
//!
//! Reports what it finds and draws no conclusion; the verdict on a host is the planner's.

mod packet;
mod service;
mod wire;

pub use service::{Answering, Pulse, Service};
pub use wire::{AnyPort, Sockets, Wire};

#[cfg(test)]
mod tests;
