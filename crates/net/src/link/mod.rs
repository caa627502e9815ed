//! The bridge of a host and the veth pairs of its instances.
//!
//! Instances are *routed*, not switched: each has its address as a host route, sends everything to
//! the gateway, and the host has a route per instance to its port, which is on no bridge. So every
//! packet passes the host's filter in both directions, connection tracking can translate service
//! addresses without hiding the sender, no instance hears another's frames, and a host with
//! `br_netfilter` on behaves like one without (it would switch translated packets between ports of
//! a bridge past the forwarding rules).

mod bridge;
mod error;
mod instance;

pub use bridge::{Bridge, delete_bridge, ensure_bridge};
pub use error::LinkError;
pub use instance::{Attached, InstanceLink, Port, attach, detach, ports, remove_all};
