//! Requests through the ingress, beside other proxies: the same instance behind, the same load
//! before, each proxy alone on one core.

mod load;
mod ours;
mod peers;
mod place;
mod rounds;

pub(crate) use ours::start_ours;
pub(crate) use peers::{PEERS, Proxy, start_peer};
pub(crate) use place::Place;
pub(crate) use rounds::run;
