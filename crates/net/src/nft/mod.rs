//! The packet filter of one installation: service addresses, isolation, egress.
//!
//! [`Ruleset`] is the wanted state as a value. [`render_full`] and [`diff`] turn it into nft
//! scripts without looking at the kernel; [`apply`] hands a script to `nft -f -`, which takes it
//! whole or not at all. [`Changer`] goes the short way where nothing but elements changes: it puts
//! them into the kernel itself, in one transaction. One table of our own is the only one ever
//! named.
//!
//! Everything that changes while apps come and go is an element of a set or map, so that a change
//! costs its own size and not the size of the rule set:
//!
//! | name | holds |
//! | --- | --- |
//! | `services` | service address → the chain for its number of endpoints |
//! | `endpoints` | service address and random number → endpoint |
//! | `groups` | instance address → group |
//! | `pairs` | group → group that may open connections |
//! | `own` | each instance address with itself (hairpin) |
//! | `confined` | instance addresses that may not leave the cluster |
//! | `host_ports` | ports of the gateway address open to instances |
//! | `ports` | which address may send from which port |
//! | `beyond` | the subnets of other hosts |
//! | `peers` | which host may send from which /24 through the tunnel |
//!
//! Numbers travel from one rule to the next in the packet's and the connection's mark, since nft
//! takes no computed value inside a concatenated key; both are zero again when a packet leaves our
//! rules.

mod apply;
mod change;
mod diff;
mod element;
mod render;
mod ruleset;

pub use apply::{NftError, apply};
pub(crate) use apply::{check_script, run, search_path};
pub use change::Changer;
pub use diff::diff;
pub use render::{render_full, render_removal};
pub use ruleset::{
    Base, Endpoint, Group, Groups, Instance, Protocol, Ruleset, ServiceAddress, TooManyGroups,
    Tunnel,
};
