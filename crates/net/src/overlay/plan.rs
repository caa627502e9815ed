//! Which routes and entries a host needs. Pure.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

use crate::Slug;
use crate::address::gateway;
use crate::netlink::{Neighbour, Route};
use crate::slug::tunnel_mac;

/// What VXLAN adds to a packet: IPv4 20, UDP 8, VXLAN 8, Ethernet 14 bytes.
pub const TUNNEL_OVERHEAD: u32 = 50;

/// The port of VXLAN (RFC 7348 §8).
pub const TUNNEL_PORT: u16 = 4789;

/// Marks routes as ours (linux/rtnetlink.h leaves 5 to 255 but a few to whoever; iproute2's
/// `rt_protos` has none here).
pub(super) const OUR_ROUTES: u8 = 70;

/// How packets go to other hosts. All hosts of a cluster must agree.
///
/// The segments between hosts are trusted as far as addresses go: a machine there that sends with a
/// forged source address is taken for the host whose address that is, by tunnel and directly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Direct where the other host's address is on a segment of this host, else by tunnel.
    #[default]
    Auto,
    /// Always by tunnel.
    Vxlan,
    /// Always direct: a host that is on no common segment is not reached.
    Direct,
}

impl Mode {
    const NAMES: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("vxlan", Self::Vxlan), ("direct", Self::Direct)];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, mode)| mode == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, mode)| mode).ok_or_else(|| "expected auto, vxlan or direct".to_owned())
    }
}

/// This host's part of the network between hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Whose; the tunnel's name follows from it.
    pub slug: Slug,
    /// This host's address on the network between hosts.
    pub address: Ipv4Addr,
    /// How packets go.
    pub mode: Mode,
    /// The tunnel's UDP port, the same on all hosts; usually [`TUNNEL_PORT`].
    pub port: u16,
    /// All instance addresses of the cluster.
    pub cluster: Ipv4Net,
    /// The addresses of this host's instances.
    pub subnet: Ipv4Net,
}

impl Overlay {
    /// The tunnel's network identifier: the upper 24 bits of the cluster's range, which tell
    /// clusters apart that share hosts, since their ranges do not overlap.
    #[must_use]
    pub fn identifier(&self) -> u32 {
        u32::from(self.cluster.network()) >> 8
    }
}

/// Another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The addresses of its instances.
    pub subnet: Ipv4Net,
    /// Its address on the network between hosts.
    pub address: Ipv4Addr,
}

/// What of the host matters for the way to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Underlay {
    /// The link with the host's address.
    pub(super) link: u32,
    /// The address with the segment's prefix.
    pub(super) net: Ipv4Net,
    /// Its largest packet in bytes.
    pub(super) mtu: u32,
}

/// Everything that is to be there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) routes: Vec<Route>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) forwarding: Vec<Neighbour>,
    /// Hosts that cannot be reached the way the mode demands.
    pub(super) unreached: Vec<Peer>,
}

/// The largest packet of an instance, in bytes: it must fit the tunnel if any way may be one.
pub(super) fn instance_mtu(mode: Mode, underlay: u32) -> u32 {
    match mode {
        Mode::Direct => underlay,
        Mode::Auto | Mode::Vxlan => underlay.saturating_sub(TUNNEL_OVERHEAD),
    }
}

/// Whether the mode ever uses the tunnel.
pub(super) fn tunnels(mode: Mode) -> bool {
    mode != Mode::Direct
}

/// What is to be there for `peers`, given the tunnel's link (any number where the mode has none).
/// This host among them, and subnets outside the cluster, are left out.
pub(super) fn wanted(
    overlay: &Overlay,
    underlay: &Underlay,
    tunnel: u32,
    peers: impl IntoIterator<Item = Peer>,
) -> Wanted {
    let mut wanted = Wanted::default();
    let source = gateway(overlay.subnet);
    for peer in peers {
        let ours = peer.address == overlay.address || peer.subnet == overlay.subnet;
        if ours || !overlay.cluster.contains(&peer.subnet) {
            continue;
        }
        let near = underlay.net.contains(&peer.address);
        let route = |link, via| Route {
            destination: peer.subnet.trunc(),
            link: Some(link),
            local: false,
            gateway: Some(via),
            source: Some(source),
            protocol: OUR_ROUTES,
            main: true,
        };
        match overlay.mode {
            Mode::Auto | Mode::Direct if near => {
                wanted.routes.push(route(underlay.link, peer.address));
            }
            Mode::Direct => wanted.unreached.push(peer),
            Mode::Auto | Mode::Vxlan => {
                let inside = gateway(peer.subnet);
                let mac = tunnel_mac(inside).to_vec();
                let entry = |address| Neighbour { link: tunnel, mac: mac.clone(), address };
                wanted.neighbours.push(entry(inside));
                wanted.forwarding.push(entry(peer.address));
                wanted.routes.push(route(tunnel, inside));
            }
        }
    }
    wanted
}

/// What of `have` is not wanted by its key, and what of `want` is not there as it is.
pub(super) fn difference<T: PartialEq + Clone, K: Ord>(
    have: &[T],
    want: &[T],
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Vec<T>) {
    use std::collections::BTreeMap;
    let index = |list: &[T]| -> BTreeMap<K, usize> {
        list.iter().enumerate().map(|(at, item)| (key(item), at)).collect()
    };
    let (there, wanted) = (index(have), index(want));
    let gone = have.iter().filter(|item| !wanted.contains_key(&key(item))).cloned().collect();
    let missing = |item: &&T| there.get(&key(item)).is_none_or(|at| have[*at] != **item);
    (gone, want.iter().filter(missing).cloned().collect())
}

#[cfg(test)]
mod tests;
