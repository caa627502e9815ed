//! Names for containers: services and instances of their own environment, and the host's resolvers
//! for everything else.
//!
//! Answers come from an immutable table that is swapped whole. A question about the outside is
//! passed on byte for byte, so that whatever an answer may hold arrives as it was given.

mod answer;
mod forward;
mod resolvers;
mod server;
mod table;

pub use answer::{Answer, answer};
pub use resolvers::parse_resolvers;
pub use server::{DnsError, DnsServer};
pub use table::NameTable;
