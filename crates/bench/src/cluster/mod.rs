//! Whole clusters beside Docker Swarm: how fast they deploy and update, and what clients see when
//! hosts, hypervisors and leaders die. Both are on the machines of a lab and die by the same call.

mod client;
mod deploy;
mod evaluate;
mod freehold;
mod journal;
mod lab;
mod loss;
mod platform;
mod series;
mod swarm;
mod wait;

pub(crate) use client::hold;
pub(crate) use lab::remove_left;
pub(crate) use loss::Loss;
pub(crate) use series::{Scenario, run};

use wait::{PATIENCE, patiently, settle};
