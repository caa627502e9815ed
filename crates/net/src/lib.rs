//! Host networking: links, bridges, namespaces, addresses and packet filtering.
//!
//! Everything is either a pure function of values (names, address plans, the text of a rule set) or
//! a blocking, idempotent call that brings the kernel to a wanted state and may be repeated at any
//! time. Calls act on the network namespace of the calling thread, so that a whole host can be
//! rehearsed inside a namespace. What one installation makes is named after its [`Slug`]; nothing
//! here touches what carries another name, with one exception that says so:
//! [`sysctl::ensure_forwarding`].
//!
//! An async caller wraps the calls in its blocking pool.

pub mod address;
pub mod check;
pub mod conntrack;
pub mod link;
pub mod namespace;
mod netlink;
pub mod nft;
pub mod overlay;
mod slug;
pub mod sysctl;
pub mod vip;

pub use netlink::NetlinkError;
pub use slug::{InvalidSlug, Slug};
