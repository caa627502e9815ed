//! Neighbour and forwarding entries, tunnels, and routes by way of other hosts (man 7 rtnetlink):
//! what a network between hosts needs beyond links.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVxlan};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourMessage,
    NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::object::{self, Neighbour, Route, Vxlan};
use super::route::{RouteSocket, route, set_route};
use super::socket::{NetlinkError, Request};

/// Entries per datagram: about 100 bytes each, so some 25 KiB, far below a socket's send buffer.
const BATCH: usize = 256;

/// Two tables of the kernel with entries of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Network address → hardware address.
    Neighbours,
    /// Hardware address → the tunnel's other end.
    Forwarding,
}

impl Entries {
    fn family(self) -> AddressFamily {
        match self {
            Self::Neighbours => AddressFamily::Inet,
            Self::Forwarding => AddressFamily::Bridge,
        }
    }

    fn message(self, entry: &Neighbour) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header = NeighbourHeader {
            family: self.family(),
            ifindex: entry.link,
            state: NeighbourState::Permanent,
            flags: match self {
                Self::Neighbours => NeighbourFlags::empty(),
                Self::Forwarding => NeighbourFlags::Own,
            },
            kind: RouteType::Unspec,
        };
        message.attributes = vec![
            NeighbourAttribute::LinkLayerAddress(entry.mac.clone()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet(entry.address)),
        ];
        message
    }
}

impl RouteSocket {
    /// Makes a VXLAN device without learning, flooding or address, up. `false` when a link of that
    /// name exists already.
    pub(crate) fn create_vxlan(
        &mut self,
        name: &str,
        mac: [u8; 6],
        mtu: u32,
        vxlan: Vxlan,
    ) -> Result<bool, NetlinkError> {
        let settings = InfoData::Vxlan(vec![
            InfoVxlan::Id(vxlan.id),
            InfoVxlan::Local(vxlan.local),
            InfoVxlan::Port(vxlan.port),
            InfoVxlan::Learning(vxlan.learning),
        ]);
        let doing = format!("creating VXLAN device {name}");
        self.create_up(&doing, (name, mac, mtu), (InfoKind::Vxlan, settings))
    }

    /// The entries of a link.
    pub(crate) fn entries(
        &mut self,
        kind: Entries,
        link: u32,
    ) -> Result<Vec<Neighbour>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = kind.family();
        let request = Request::new(RouteNetlinkMessage::GetNeighbour(message), 0);
        let read = |message| object::neighbour(message).filter(|entry| entry.link == link);
        self.list("listing neighbours", &request, read)
    }

    /// Sets entries; another of the same key is replaced.
    pub(crate) fn set_entries(
        &mut self,
        kind: Entries,
        entries: &[Neighbour],
    ) -> Result<(), NetlinkError> {
        let request = |entry: &Neighbour| {
            let message = RouteNetlinkMessage::NewNeighbour(kind.message(entry));
            Request::new(message, NLM_F_CREATE | NLM_F_REPLACE)
        };
        self.many("setting a neighbour", entries.iter().map(request), &[])
    }

    /// Removes entries; they may be gone already.
    pub(crate) fn remove_entries(
        &mut self,
        kind: Entries,
        entries: &[Neighbour],
    ) -> Result<(), NetlinkError> {
        let request = |entry: &Neighbour| {
            Request::new(RouteNetlinkMessage::DelNeighbour(kind.message(entry)), 0)
        };
        self.many("removing a neighbour", entries.iter().map(request), &[libc::ENOENT])
    }

    /// Sets routes; another to the same destination is replaced. A gateway counts as reachable by
    /// the route's link whatever addresses the link has.
    pub(crate) fn set_routes(&mut self, routes: &[Route]) -> Result<(), NetlinkError> {
        self.many("setting the route to a host", routes.iter().map(|r| set_route(via(r))), &[])
    }

    /// Removes routes; they may be gone already.
    pub(crate) fn remove_routes(&mut self, routes: &[Route]) -> Result<(), NetlinkError> {
        let request = |route: &Route| Request::new(RouteNetlinkMessage::DelRoute(via(route)), 0);
        self.many("removing the route to a host", routes.iter().map(request), &[libc::ESRCH])
    }

    /// Runs requests in batches; the first that is refused fails the call, after all were tried.
    fn many(
        &mut self,
        doing: &str,
        requests: impl Iterator<Item = Request<RouteNetlinkMessage>>,
        fine: &[i32],
    ) -> Result<(), NetlinkError> {
        let requests: Vec<_> = requests.collect();
        let mut first = Ok(());
        for batch in requests.chunks(BATCH) {
            for verdict in self.exchange(batch.to_vec())? {
                first = first.and(verdict.check(doing, fine));
            }
        }
        first
    }
}

fn via(wanted: &Route) -> RouteMessage {
    let mut message = route(wanted.link.unwrap_or_default(), wanted.destination, wanted.gateway);
    message.header.protocol = RouteProtocol::from(wanted.protocol);
    if wanted.gateway.is_some() {
        message.header.flags |= RouteFlags::Onlink;
    }
    let source = wanted.source.map(|from| RouteAttribute::PrefSource(RouteAddress::Inet(from)));
    message.attributes.extend(source);
    message
}
