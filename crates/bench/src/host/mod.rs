//! A host: a real agent process, and the least of a server above it, which assigns and listens.
//! Nothing here decides what is measured.

mod agent;
mod server;

pub(crate) use agent::Host;
