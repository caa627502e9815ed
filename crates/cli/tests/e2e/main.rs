//! The whole of Freehold on one machine: the real binary, real containers, real requests. Each test
//! starts a cluster of its own with `freehold up --ephemeral` and leaves nothing behind. Needs
//! root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod deploy;
mod foreign;
mod heal;
mod input;
mod inside;
mod lab;
mod limits;
mod load;
mod observers;
mod probe;
mod restart;
mod singleton;
mod tls;
mod update;
mod vip;
