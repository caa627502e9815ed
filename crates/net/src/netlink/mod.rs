//! The kernel's netlink protocol, as far as this crate needs it.
//!
//! The `netlink-packet-*` crates know the messages; here stand a blocking conversation that sends a
//! batch of requests in one system call and reads all answers, and the questions asked with it.
//! Attaching an instance takes six round trips this way, and works on a throw-away thread inside a
//! namespace without any runtime. Nothing outside this module knows the route family's messages.

mod neighbour;
mod object;
mod route;
mod socket;

pub(crate) use neighbour::Entries;
pub(crate) use object::{Link, Neighbour, Route, Vxlan};
pub(crate) use route::{RouteSocket, Veth};
pub use socket::NetlinkError;
pub(crate) use socket::{Family, Request, Socket};
