//! The embedded registry: its endpoints, its promises under kills and concurrency, and real clients.

mod clients;
mod collecting;
mod crash;
mod endpoints;
mod hostile;
mod uploads;
mod world;
