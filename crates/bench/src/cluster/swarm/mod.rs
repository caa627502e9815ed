//! Docker Swarm as a peer: Debian's engines on the machines of a lab of the same shape, three of
//! them managers, the same app with the same limits.
//!
//! Its routing mesh needs IPVS, which not every kernel has. So every task is published on a port of
//! its host, and clients are told of tasks by the managers at once, as by an ideal entry: what
//! Swarm's own entry would add is left out, in its favour.

mod api;
mod engines;
mod follow;
mod peer;

pub(super) use peer::{Settings, Swarm};
