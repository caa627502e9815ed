//! What the kernel has, reduced to what this crate asks about. Pure.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType,
};

/// A link as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    /// Whether it would send what it is given: between the other end's coming up and this, the
    /// kernel silently drops.
    pub(crate) running: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: Vec<u8>,
    pub(crate) group: u32,
    /// `bridge`, `veth`, … where the kind is known.
    pub(crate) kind: Option<String>,
    /// The settings of a VXLAN device.
    pub(crate) vxlan: Option<Vxlan>,
}

/// The settings of a VXLAN device that tell one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vxlan {
    pub(crate) id: u32,
    pub(crate) local: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) learning: bool,
}

impl Default for Vxlan {
    fn default() -> Self {
        Self { id: 0, local: Ipv4Addr::UNSPECIFIED, port: 0, learning: true }
    }
}

/// A neighbour entry (network address → hardware address) or, in the bridge family, a forwarding
/// entry (hardware address → tunnel's end) as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) link: u32,
    pub(crate) mac: Vec<u8>,
    pub(crate) address: Ipv4Addr,
}

/// A route as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Net,
    /// The outgoing link; absent for multipath and unreachable routes.
    pub(crate) link: Option<u32>,
    pub(crate) local: bool,
    /// The next hop; absent where the destination is on the link.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The sender's address the host prefers.
    pub(crate) source: Option<Ipv4Addr>,
    /// Who made it (linux/rtnetlink.h, RTPROT_*).
    pub(crate) protocol: u8,
    /// Whether it is in the main table.
    pub(crate) main: bool,
}

/// The link a message describes, if it describes one.
pub(super) fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(LinkMessage { header, attributes, .. }) = message else {
        return None;
    };
    let mut link = Link {
        index: header.index,
        up: header.flags.contains(LinkFlags::Up),
        running: header.flags.contains(LinkFlags::Running),
        ..Link::default()
    };
    for attribute in attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
                        LinkInfo::Data(InfoData::Vxlan(data)) => link.vxlan = Some(vxlan(data)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn vxlan(data: Vec<InfoVxlan>) -> Vxlan {
    let mut found = Vxlan::default();
    for info in data {
        match info {
            InfoVxlan::Id(id) => found.id = id,
            InfoVxlan::Local(local) => found.local = local,
            InfoVxlan::Port(port) => found.port = port,
            InfoVxlan::Learning(learning) => found.learning = learning,
            _ => {}
        }
    }
    found
}

/// The neighbour or forwarding entry a message describes; none without both addresses.
pub(super) fn neighbour(message: RouteNetlinkMessage) -> Option<Neighbour> {
    let RouteNetlinkMessage::NewNeighbour(NeighbourMessage { header, attributes, .. }) = message
    else {
        return None;
    };
    let (mut mac, mut address) = (None, None);
    for attribute in attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = Some(bytes),
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => {
                address = Some(found);
            }
            // The bridge family's entries are bytes to the packet library.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                address = <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from);
            }
            _ => {}
        }
    }
    Some(Neighbour { link: header.ifindex, mac: mac?, address: address? })
}

/// The IPv4 address a message describes, with the index of its link.
pub(super) fn address(message: RouteNetlinkMessage) -> Option<(u32, Ipv4Net)> {
    let RouteNetlinkMessage::NewAddress(AddressMessage { header, attributes, .. }) = message else {
        return None;
    };
    // On a point-to-point link the plain address is the other end's.
    let mut other = None;
    let mut local = None;
    for attribute in attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => local = Some(address),
            AddressAttribute::Address(IpAddr::V4(address)) => other = Some(address),
            _ => {}
        }
    }
    let net = Ipv4Net::new(local.or(other)?, header.prefix_len).ok()?;
    Some((header.index, net))
}

/// The IPv4 route a message describes.
pub(super) fn route(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(RouteMessage { header, attributes, .. }) = message else {
        return None;
    };
    let mut destination = Ipv4Addr::UNSPECIFIED;
    let (mut link, mut gateway, mut source) = (None, None, None);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(address),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => source = Some(address),
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = address,
            // Another family's route.
            RouteAttribute::Destination(_) => return None,
            RouteAttribute::Oif(index) => link = Some(index),
            _ => {}
        }
    }
    let destination = Ipv4Net::new(destination, header.destination_prefix_length).ok()?;
    Some(Route {
        destination,
        link,
        local: header.kind != RouteType::Unicast,
        gateway,
        source,
        protocol: header.protocol.into(),
        main: header.table == RouteHeader::RT_TABLE_MAIN,
    })
}
