//! Address plans: a host's subnet, its gateway, and collisions with what the host has already.
//!
//! Decisions are pure; [`occupied`] alone asks the kernel.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use thiserror::Error;

use crate::netlink::RouteSocket;
use crate::{NetlinkError, Slug};

/// Prefix length of a host's subnet.
pub const HOST_PREFIX: u8 = 24;

/// The host subnet number `index` (from 0) of a cluster's range; `None` when the range has fewer or is
/// smaller than one subnet.
#[must_use]
pub fn host_subnet(cluster: Ipv4Net, index: u32) -> Option<Ipv4Net> {
    let bits = HOST_PREFIX.checked_sub(cluster.prefix_len())?;
    if u64::from(index) >= 1_u64 << bits {
        return None;
    }
    let offset = index.checked_shl(u32::from(32 - HOST_PREFIX))?;
    let first = u32::from(cluster.network()).checked_add(offset)?;
    Ipv4Net::new(Ipv4Addr::from(first), HOST_PREFIX).ok()
}

/// The gateway of a subnet: its first address after the network's own.
#[must_use]
pub fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or_else(|| subnet.network())
}

/// The addresses of a subnet that instances can have: all but network, gateway and broadcast.
pub fn instance_addresses(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let gateway = gateway(subnet);
    subnet.hosts().filter(move |address| *address != gateway)
}

/// A range of addresses the host uses already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupied {
    /// The range.
    pub net: Ipv4Net,
    /// The link it is on or routed to; `-` for a route without one.
    pub interface: String,
}

/// A wanted range overlaps one in use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("taking {wanted}: it overlaps {} of interface {}", .existing.net, .existing.interface)]
pub struct Collision {
    /// What was wanted.
    pub wanted: Ipv4Net,
    /// What is there.
    pub existing: Occupied,
}

/// Checks that `wanted` overlaps nothing of `existing`.
///
/// # Errors
/// The narrowest range it overlaps.
pub fn check_free(wanted: Ipv4Net, existing: &[Occupied]) -> Result<(), Collision> {
    let overlapping = existing.iter().filter(|occupied| overlap(wanted, occupied.net));
    match overlapping.max_by_key(|occupied| occupied.net.prefix_len()) {
        Some(found) => Err(Collision { wanted, existing: found.clone() }),
        None => Ok(()),
    }
}

/// The ranges in use in the calling thread's network namespace: addresses and routes of all links but
/// the bridge of `slug`. Default routes do not count.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn occupied(slug: &Slug) -> Result<Vec<Occupied>, NetlinkError> {
    let mut socket = RouteSocket::open()?;
    let links = socket.links()?;
    let name = |index: u32| links.iter().find(|link| link.index == index).map(|l| l.name.clone());
    let own = slug.bridge();
    let addresses = socket.addresses()?.into_iter().map(|(index, net)| (Some(index), net.trunc()));
    let routes = socket.routes()?.into_iter().filter(|route| !route.local);
    let routes = routes.map(|route| (route.link, route.destination));
    Ok(addresses
        .collect::<Vec<_>>()
        .into_iter()
        .chain(routes)
        .filter(|(_, net)| net.prefix_len() > 0)
        .map(|(link, net)| (link.and_then(name).unwrap_or_else(|| "-".to_owned()), net))
        .filter(|(interface, _)| *interface != own)
        .map(|(interface, net)| Occupied { net, interface })
        .collect())
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

