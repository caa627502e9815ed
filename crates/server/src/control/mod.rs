//! The controllers: each decides from present state alone, runs when something changed and once in
//! its period even if nothing did, and shows its last result. Nothing is retried inside one.

mod deployments;
mod driver;
mod planner;
mod start;
mod statuses;
mod tables;
mod upkeep;

pub use driver::{Controller, Driver};
pub use start::start;
pub use upkeep::collect_garbage;
