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

/// The host subnet number `index` (from 0) of a cluster's range; `None` when the range has fewer or
/// is smaller than one subnet.
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

/// The ranges in use in the calling thread's network namespace: addresses and routes of all links
/// but the bridge of `slug`. Default routes do not count.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_get_their_own_piece() {
        let cluster = net("10.128.0.0/10");
        assert_eq!(host_subnet(cluster, 0), Some(net("10.128.0.0/24")));
        assert_eq!(host_subnet(cluster, 257), Some(net("10.129.1.0/24")));
        assert_eq!(host_subnet(cluster, (1 << 14) - 1), Some(net("10.191.255.0/24")));
        assert_eq!(host_subnet(cluster, 1 << 14), None);
        assert_eq!(host_subnet(net("10.1.2.0/24"), 0), Some(net("10.1.2.0/24")));
        assert_eq!(host_subnet(net("10.1.2.0/25"), 0), None);
        assert_eq!(host_subnet(net("0.0.0.0/0"), u32::MAX), None);
    }

    #[test]
    fn the_gateway_is_no_instance() {
        let subnet = net("10.128.7.0/24");
        assert_eq!(gateway(subnet), Ipv4Addr::new(10, 128, 7, 1));
        let instances: Vec<_> = instance_addresses(subnet).collect();
        assert_eq!(instances.len(), 253);
        assert_eq!(instances[0], Ipv4Addr::new(10, 128, 7, 2));
        assert_eq!(instances[252], Ipv4Addr::new(10, 128, 7, 254));
    }

    #[test]
    fn a_collision_names_the_interface() {
        let on = |text: &str, name: &str| Occupied { net: net(text), interface: name.into() };
        let existing =
            [on("10.0.0.0/8", "tun0"), on("10.128.3.0/24", "eth1"), on("1.0.0.0/8", "a")];
        let error = check_free(net("10.128.0.0/10"), &existing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "taking 10.128.0.0/10: it overlaps 10.128.3.0/24 of interface eth1"
        );
        assert!(check_free(net("192.168.0.0/16"), &existing).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_are_inside_and_apart(
            prefix in 8_u8..=24, a in 0_u32..70_000, b in 0_u32..70_000,
        ) {
            let cluster = Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), prefix).unwrap();
            let pieces = [a, b].map(|index| host_subnet(cluster, index));
            for (index, piece) in [a, b].into_iter().zip(pieces) {
                prop_assert_eq!(piece.is_some(), index < 1 << (24 - prefix));
                prop_assert!(piece.is_none_or(|piece| cluster.contains(&piece)));
            }
            if let (true, [Some(a), Some(b)]) = (a != b, pieces) {
                prop_assert!(!overlap(a, b));
            }
        }

        #[test]
        fn overlap_means_a_shared_address(
            a: u32, b: u32, wide in 20_u8..=32, narrow in 20_u8..=32,
        ) {
            let a = Ipv4Net::new(Ipv4Addr::from(a), wide).unwrap().trunc();
            // Near each other, else they never meet.
            let b = u32::from(a.network()) ^ (b & 0x1fff);
            let b = Ipv4Net::new(Ipv4Addr::from(b), narrow).unwrap().trunc();
            let range = |net: Ipv4Net| u32::from(net.network())..=u32::from(net.broadcast());
            let shared = range(a).start() <= range(b).end() && range(b).start() <= range(a).end();
            prop_assert_eq!(overlap(a, b), shared);
        }
    }
}
