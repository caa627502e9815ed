//! The host's network for containers: bridge, links, packet filter, ways to other hosts, names.
//!
//! [`wanted`] computes, purely, the rule set and the names that follow from the server's table and
//! the host's own instances. [`Network`] brings the kernel there: one task loads the filter, so
//! changes that come together are loaded together, and whoever needs a change waits for it.

mod filter;
mod host;
mod wanted;
mod ways;

pub use filter::{Filter, FilterError};
pub use host::{Between, Network, NetworkError, NetworkOptions};
pub use wanted::{LocalInstance, Wanted};
pub use ways::Ways;
