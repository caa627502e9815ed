//! The API over real TLS on ports of the system's choice, with a store in memory.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod admission;
mod document;
mod endpoints;
mod hostile;
mod joining;
mod operators;
mod serving;
mod vips;
mod watching;
mod world;
