//! The crate against hostile input, killed processes and independent tools.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod content;
mod differential;
mod hostile;
mod layout;
mod manifest;
mod pack;
mod unpack;
mod world;
