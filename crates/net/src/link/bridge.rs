//! The host's bridge: made, corrected, deleted.
//!
//! No instance is a port of it. It holds the gateway's address and the subnet's route, so that an
//! address without an instance leads nowhere, and it is where other hosts' traffic can arrive.

use ipnet::Ipv4Net;

use super::LinkError;
use crate::Slug;
use crate::netlink::RouteSocket;
use crate::slug::host_mac;
use crate::sysctl;

/// The wanted bridge of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Whose bridge; its name follows from it.
    pub slug: Slug,
    /// The gateway address with the host's prefix length, such as `10.128.0.1/24`.
    pub address: Ipv4Net,
    /// The cluster's service addresses. They are routed here, so that one the filter does not
    /// translate is refused by it and never follows the host's default route.
    pub services: Ipv4Net,
    /// Largest packet in bytes.
    pub mtu: u32,
}

/// Makes the bridge, or corrects its address, MTU and settings; it is up afterwards. Instances
/// already attached stay attached.
///
/// # Errors
/// When the kernel refuses, or another kind of link has the bridge's name.
pub fn ensure_bridge(bridge: &Bridge) -> Result<(), LinkError> {
    let name = bridge.slug.bridge();
    let mac = host_mac(bridge.address.addr());
    let mut socket = RouteSocket::open()?;
    socket.create_bridge(&name, mac, bridge.mtu)?;
    let link = socket.link(&name)?.ok_or_else(|| LinkError::NoBridge {
        bridge: name.clone(),
        address: bridge.address.addr(),
    })?;
    if link.kind.as_deref() != Some("bridge") {
        let kind = link.kind.unwrap_or_else(|| "physical link".to_owned());
        return Err(LinkError::NotABridge { name, kind });
    }
    if !link.up || link.mtu != bridge.mtu || link.mac != mac {
        socket.configure(link.index, Some(mac), bridge.mtu)?;
    }
    let mut present = false;
    for (index, address) in socket.addresses()? {
        if index != link.index {
            continue;
        }
        if address == bridge.address {
            present = true;
        } else {
            socket.remove_address(index, address)?;
        }
    }
    if !present {
        socket.set_address(link.index, bridge.address)?;
    }
    socket.set_link_route(link.index, bridge.services)?;
    sysctl::apply_port(&name)?;
    Ok(())
}

/// Deletes the bridge; fine when it is gone. Instances keep their links
/// but lose their gateway.
///
/// # Errors
/// When the kernel refuses.
pub fn delete_bridge(slug: &Slug) -> Result<(), LinkError> {
    RouteSocket::open()?.delete_link(&slug.bridge())?;
    Ok(())
}
