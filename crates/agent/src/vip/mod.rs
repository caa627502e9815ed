//! Addresses that ingress hosts hold in turn: this host's part in agreeing who does.
//!
//! [`plan::vip`] decides; here a thread of its own carries it out, so that nothing else this
//! process does makes it late. Adverts go by UDP to the other candidates, authenticated. A held
//! address is lent by the kernel for two seconds and renewed every half while this host's proxy
//! answers: a host that is frozen loses it. Servers are not needed for any of it.

mod able;
mod advert;
mod engine;

pub use able::watch_proxy;
pub use engine::{Holdings, PORT, VipError, VipOptions, Vips, for_how_long};
