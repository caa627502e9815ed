//! The controllers: each decides from present state alone, runs when something changed and once in
//! its period even if nothing did, and shows its last result. Nothing is retried inside one. Those
//! that decide for the whole cluster run on the leader alone, fenced by its term.

mod deployments;
mod driver;
mod handout;
mod lead;
mod leases;
mod liveness;
mod observe;
mod planner;
mod standby;
mod start;
mod statuses;
mod tables;
mod upkeep;
mod vips;
mod watch_store;

pub use driver::{Controller, Driver};
pub use lead::{Lead, lead};
pub use start::{start, start_copies, start_garbage};
pub use upkeep::collect_garbage;
