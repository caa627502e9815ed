//! Whole clusters beside Docker Swarm: how fast they deploy and update, and what clients see when
//! hosts, hypervisors and leaders die. Both are on the machines of a lab and die by the same call.
//! What has no like there is measured of ours alone: one long connection, packets of the full size
//! under load, and singletons.

mod alone;
mod client;
mod deploy;
mod evaluate;
mod freehold;
mod hold;
mod journal;
mod lab;
mod long;
mod loss;
mod mtu;
mod platform;
mod series;
mod singleton;
mod swarm;
mod wait;

pub(crate) use client::{fill, hold};
pub(crate) use hold::{Hold, run as run_hold};
pub(crate) use lab::remove_left;
pub(crate) use long::run as long_connection;
pub(crate) use loss::Loss;
pub(crate) use mtu::run as mtu_load;
pub(crate) use series::{Scenario, run};
pub(crate) use singleton::run as singleton;

use wait::{PATIENCE, patiently, settle};
