//! The network between hosts: how packets for another host's instances get there.
//!
//! A host needs one entry of each kind per other host, none per instance. Where hosts share a
//! segment the other host's subnet is routed by way of its address; elsewhere a VXLAN device (RFC
//! 7348) takes it, whose neighbour and forwarding entries are set, never learned, so that nothing
//! is flooded and no stranger can become an entry. [`plan`] decides that from values; [`ensure`]
//! brings the kernel there by differences, adopting what is right and removing what is gone.
//!
//! Who may send by these ways is the packet filter's: see [`crate::nft`].

mod apply;
mod plan;

pub use apply::{Changed, OverlayError, ensure, mtu, remove};
pub use plan::{Mode, Overlay, Peer, TUNNEL_OVERHEAD, TUNNEL_PORT};
