//! The kernel's netlink protocol, as far as this crate needs it.
//!
//! A synchronous socket that sends a batch of requests in one system call and reads all answers,
//! and the few messages of the route family written by hand: attaching an instance is four round
//! trips this way, works on a throw-away thread inside a namespace without any runtime, and reads
//! unknown kernels' replies without a parse error because attributes that are not asked for are
//! skipped. Nothing outside this module knows a message's layout, except `conntrack` for its own
//! family.

pub(crate) mod message;
mod route;
mod socket;

pub(crate) use route::{Link, RouteSocket, Veth};
pub use socket::NetlinkError;
pub(crate) use socket::{Family, Socket};
