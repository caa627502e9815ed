//! Bringing the kernel to what the plan wants.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use thiserror::Error;

use super::plan::{
    self, OUR_ROUTES, Overlay, Peer, TUNNEL_OVERHEAD, Underlay, difference, instance_mtu, tunnels,
};
use crate::address::gateway;
use crate::netlink::{Entries, Neighbour, Route, RouteSocket, Vxlan};
use crate::slug::tunnel_mac;
use crate::sysctl::{self, SysctlError};
use crate::{NetlinkError, Slug};

/// The network between hosts could not be brought to the wanted state.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The kernel refused over netlink.
    #[error("configuring the network between hosts")]
    Netlink(#[from] NetlinkError),
    /// A kernel setting could not be made.
    #[error("setting up the tunnel to other hosts")]
    Sysctl(#[from] SysctlError),
    /// The host has no link with its address.
    #[error("looking for this host's address {address}: no link has it")]
    NoUnderlay {
        /// The address.
        address: Ipv4Addr,
    },
    /// A link with the tunnel's name is something else.
    #[error("ensuring tunnel {name}: a link of that name is a {kind}")]
    NotATunnel {
        /// The name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The tunnel vanished while it was being configured.
    #[error("ensuring tunnel {name}: it vanished meanwhile")]
    Vanished {
        /// The name.
        name: String,
    },
}

/// What [`ensure`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Routes that were set.
    pub added: usize,
    /// Routes that were removed.
    pub removed: usize,
    /// Hosts on no common segment, where the mode allows no tunnel: they are not reached.
    pub unreached: Vec<Peer>,
}

/// The largest packet of instances, in bytes.
///
/// # Errors
/// When no link has the host's address or the kernel cannot be asked.
pub fn mtu(overlay: &Overlay) -> Result<u32, OverlayError> {
    let underlay = underlay(&mut RouteSocket::open()?, overlay.address)?;
    Ok(instance_mtu(overlay.mode, underlay.mtu))
}

/// Brings the calling thread's network namespace to where exactly `peers` are reached, adding
/// before removing. What is right stays untouched, so that traffic does not notice. May be
/// repeated.
///
/// # Errors
/// When no link has the host's address, the kernel refuses, or another kind of link has the
/// tunnel's name. What could be set is set.
pub fn ensure(
    overlay: &Overlay,
    peers: impl IntoIterator<Item = Peer>,
) -> Result<Changed, OverlayError> {
    let mut socket = RouteSocket::open()?;
    let underlay = underlay(&mut socket, overlay.address)?;
    let tunnel = if tunnels(overlay.mode) {
        ensure_tunnel(&mut socket, overlay, &underlay)?
    } else {
        socket.delete_link(&overlay.slug.tunnel())?;
        0
    };
    let wanted = plan::wanted(overlay, &underlay, tunnel, peers);
    let have = ours(&mut socket, overlay.cluster)?;
    let (gone, missing) = difference(&have, &wanted.routes, |route| route.destination);
    let mut stale = Vec::new();
    if tunnel != 0 {
        for (kind, want) in
            [(Entries::Neighbours, &wanted.neighbours), (Entries::Forwarding, &wanted.forwarding)]
        {
            let have = socket.entries(kind, tunnel)?;
            let key = |entry: &Neighbour| match kind {
                Entries::Neighbours => entry.address.octets().to_vec(),
                Entries::Forwarding => entry.mac.clone(),
            };
            let (gone, missing) = difference(&have, want, key);
            socket.set_entries(kind, &missing)?;
            stale.push((kind, gone));
        }
    }
    socket.set_routes(&missing)?;
    socket.remove_routes(&gone)?;
    for (kind, entries) in stale {
        socket.remove_entries(kind, &entries)?;
    }
    Ok(Changed { added: missing.len(), removed: gone.len(), unreached: wanted.unreached })
}

/// Removes the tunnel and every route of an installation to other hosts; fine when there is none.
///
/// # Errors
/// The first thing the kernel refused, after everything was tried.
pub fn remove(slug: &Slug, cluster: Ipv4Net) -> Result<(), OverlayError> {
    let mut socket = RouteSocket::open()?;
    let routes = ours(&mut socket, cluster).and_then(|routes| socket.remove_routes(&routes));
    socket.delete_link(&slug.tunnel())?;
    routes?;
    Ok(())
}

/// The routes of an installation to other hosts.
fn ours(socket: &mut RouteSocket, cluster: Ipv4Net) -> Result<Vec<Route>, NetlinkError> {
    let mut routes = socket.routes()?;
    routes.retain(|route| {
        route.main && route.protocol == OUR_ROUTES && cluster.contains(&route.destination)
    });
    Ok(routes)
}

fn underlay(socket: &mut RouteSocket, address: Ipv4Addr) -> Result<Underlay, OverlayError> {
    let found = socket.addresses()?.into_iter().find(|(_, net)| net.addr() == address);
    let (link, net) = found.ok_or(OverlayError::NoUnderlay { address })?;
    let links = socket.links()?;
    let found = links.into_iter().find(|known| known.index == link);
    let mtu = found.ok_or(OverlayError::NoUnderlay { address })?.mtu;
    Ok(Underlay { link, net, mtu })
}

/// Makes the tunnel, adopts it, or replaces it when its settings are others; gives its index.
fn ensure_tunnel(
    socket: &mut RouteSocket,
    overlay: &Overlay,
    underlay: &Underlay,
) -> Result<u32, OverlayError> {
    let name = overlay.slug.tunnel();
    let mac = tunnel_mac(gateway(overlay.subnet));
    let mtu = underlay.mtu.saturating_sub(TUNNEL_OVERHEAD);
    let wanted = Vxlan {
        id: overlay.identifier(),
        local: overlay.address,
        port: overlay.port,
        learning: false,
    };
    if let Some(link) = socket.link(&name)? {
        match link.kind.as_deref() {
            Some("vxlan") if link.vxlan == Some(wanted) => {}
            // Its settings cannot be changed.
            Some("vxlan") => drop(socket.delete_link(&name)?),
            kind => {
                let kind = kind.unwrap_or("physical link").to_owned();
                return Err(OverlayError::NotATunnel { name, kind });
            }
        }
    }
    socket.create_vxlan(&name, mac, mtu, wanted)?;
    let link = socket.link(&name)?.ok_or_else(|| OverlayError::Vanished { name: name.clone() })?;
    if !link.up || link.mtu != mtu || link.mac != mac {
        socket.configure(link.index, Some(mac), mtu)?;
    }
    sysctl::apply_port(&name)?;
    Ok(link.index)
}
