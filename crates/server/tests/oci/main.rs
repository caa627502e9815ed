//! The embedded registry: its endpoints, its promises under kills and concurrency, real clients.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod clients;
mod collecting;
mod crash;
mod endpoints;
mod hostile;
mod uploads;
mod world;
