//! The whole agent as a process, below a real server of its own kind and inside a network
//! namespace: needs root, prints why it skips otherwise.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod domain;
mod hostile;
mod life;
mod registry;
mod restart;
mod server;
mod servers;
mod singleton;
mod suspicion;
mod world;
