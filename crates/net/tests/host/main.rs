//! Everything that needs a kernel: links, rules and packets on a host rehearsed inside a namespace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hosts;
mod links;
mod rules;
mod traffic;
mod world;
