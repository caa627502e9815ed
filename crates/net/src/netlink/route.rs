//! The questions and wishes this crate has about links, addresses and routes (man 7 rtnetlink). One
//! method is one round trip unless it says otherwise.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressMessage, CacheInfo};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags, LinkHeader,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::object::{self, Link, Route};
use super::socket::{Family, NetlinkError, Request, Socket, Verdict};

/// The loopback link is the first of every namespace.
const LOOPBACK: u32 = 1;

/// A veth pair to make: one end here, the other in another namespace.
#[derive(Debug)]
pub(crate) struct Veth<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: [u8; 6],
    pub(crate) peer_namespace: BorrowedFd<'a>,
}

/// A socket of the route family.
#[derive(Debug)]
pub(crate) struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens one in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        Socket::open(Family::Route).map(Self)
    }

    pub(super) fn one(
        &mut self,
        doing: &str,
        request: Request<RouteNetlinkMessage>,
        fine: &[i32],
    ) -> Result<i32, NetlinkError> {
        let verdicts = self.0.exchange(vec![request], |_, _| ())?;
        let verdict = first(&verdicts, doing)?;
        verdict.check(doing, fine)?;
        Ok(verdict.errno)
    }

    /// Runs requests that have no reply but their verdicts.
    pub(super) fn exchange(
        &mut self,
        requests: Vec<Request<RouteNetlinkMessage>>,
    ) -> Result<Vec<Verdict>, NetlinkError> {
        self.0.exchange(requests, |_, _| ())
    }

    /// The link called `name`, if there is one.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let doing = format!("looking up link {name}");
        let mut found = None;
        let verdicts =
            self.0.exchange(vec![get_link(name)], |_, message| found = object::link(message))?;
        first(&verdicts, &doing)?.check(&doing, &[libc::ENODEV])?;
        Ok(found)
    }

    /// Brings the loopback link and `name` up, the latter with its MTU, and looks `name` up, in one
    /// round trip.
    pub(crate) fn bring_up(&mut self, name: &str, mtu: u32) -> Result<Option<Link>, NetlinkError> {
        let requests = vec![
            change_link(link_up(LOOPBACK, vec![])),
            change_link(link_up(0, vec![named(name), LinkAttribute::Mtu(mtu)])),
            get_link(name),
        ];
        let mut found = None;
        let verdicts = self.0.exchange(requests, |index, message| {
            if index == 2 {
                found = object::link(message);
            }
        })?;
        for (index, verdict) in verdicts.iter().enumerate() {
            let (subject, fine): (_, &[i32]) =
                if index == 0 { ("lo", &[]) } else { (name, &[libc::ENODEV]) };
            verdict.check(&format!("bringing up link {subject}"), fine)?;
        }
        Ok(found)
    }

    /// All links.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let message = link(vec![without_statistics()]);
        let request = Request::new(RouteNetlinkMessage::GetLink(message), 0);
        self.list("listing links", &request, object::link)
    }

    /// Makes a bridge, up. `false` when a link of that name exists already.
    pub(crate) fn create_bridge(
        &mut self,
        name: &str,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<bool, NetlinkError> {
        let settings = InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)]);
        let doing = format!("creating bridge {name}");
        self.create_up(&doing, (name, mac, mtu), (InfoKind::Bridge, settings))
    }

    /// Makes a link of a kind, up. `false` when a link of that name exists already.
    pub(super) fn create_up(
        &mut self,
        doing: &str,
        (name, mac, mtu): (&str, [u8; 6], u32),
        (kind, settings): (InfoKind, InfoData),
    ) -> Result<bool, NetlinkError> {
        let message = link_up(
            0,
            vec![
                named(name),
                LinkAttribute::Address(mac.to_vec()),
                LinkAttribute::Mtu(mtu),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(settings)]),
            ],
        );
        Ok(self.one(doing, create_link(message), &[libc::EEXIST])? == 0)
    }

    /// Makes a veth pair whose host end is up and whose other end is, not yet up, in its namespace,
    /// in one round trip. Gives the host end's index, or `None` when a link of that name exists
    /// already.
    pub(crate) fn create_veth(&mut self, veth: &Veth<'_>) -> Result<Option<u32>, NetlinkError> {
        // The kernel cannot bring this end up before both exist (veth_open: ENOTCONN).
        let peer = link(vec![
            named(veth.peer_name),
            LinkAttribute::Address(veth.peer_mac.to_vec()),
            LinkAttribute::Mtu(veth.mtu),
            LinkAttribute::NetNsFd(veth.peer_namespace.as_raw_fd()),
        ]);
        let message = link_up(
            0,
            vec![
                named(veth.name),
                LinkAttribute::Address(veth.mac.to_vec()),
                LinkAttribute::Mtu(veth.mtu),
                LinkAttribute::Group(veth.group),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
                ]),
            ],
        );
        let mut found = None;
        let requests = vec![create_link(message), get_link(veth.name)];
        let verdicts = self.0.exchange(requests, |_, message| found = object::link(message))?;
        let doing = format!("creating veth pair {}", veth.name);
        let verdict = first(&verdicts, &doing)?;
        verdict.check(&doing, &[libc::EEXIST])?;
        Ok(found.filter(|_| verdict.errno == 0).map(|link| link.index))
    }

    /// Sets a link's MTU, hardware address, and brings it up.
    pub(crate) fn configure(
        &mut self,
        index: u32,
        mac: Option<[u8; 6]>,
        mtu: u32,
    ) -> Result<(), NetlinkError> {
        let mut attributes = vec![LinkAttribute::Mtu(mtu)];
        attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        let request = change_link(link_up(index, attributes));
        self.one(&format!("configuring link {index}"), request, &[]).map(drop)
    }

    /// Puts a link into a device group with an MTU, up.
    pub(crate) fn regroup(&mut self, index: u32, group: u32, mtu: u32) -> Result<(), NetlinkError> {
        let attributes = vec![LinkAttribute::Mtu(mtu), LinkAttribute::Group(group)];
        let request = change_link(link_up(index, attributes));
        self.one(&format!("configuring link {index}"), request, &[]).map(drop)
    }

    /// Sends what is for `address` to a link, as from `source`.
    pub(crate) fn set_host_route(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        source: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let mut message = route(index, Ipv4Net::new_assert(address, 32), None);
        message.attributes.push(RouteAttribute::PrefSource(RouteAddress::Inet(source)));
        let doing = format!("setting the route to instance {address}");
        self.one(&doing, set_route(message), &[]).map(drop)
    }

    /// Deletes a link (of a veth pair: both ends). `false` when there was none.
    pub(crate) fn delete_link(&mut self, name: &str) -> Result<bool, NetlinkError> {
        let request = Request::new(RouteNetlinkMessage::DelLink(link(vec![named(name)])), 0);
        let errno = self.one(&format!("deleting link {name}"), request, &[libc::ENODEV])?;
        Ok(errno == 0)
    }

    /// All IPv4 addresses with the index of their link.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, Ipv4Net)>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let request = Request::new(RouteNetlinkMessage::GetAddress(message), 0);
        self.list("listing addresses", &request, object::address)
    }

    /// Sets an address on a link; an equal one stays.
    pub(crate) fn set_address(&mut self, index: u32, net: Ipv4Net) -> Result<(), NetlinkError> {
        let doing = format!("setting address {net} on link {index}");
        self.one(&doing, set_address(index, net), &[]).map(drop)
    }

    /// Sets an address that the kernel removes by itself after `lifetime_s` seconds; an equal one
    /// gets the new lifetime.
    pub(crate) fn lend_address(
        &mut self,
        index: u32,
        net: Ipv4Net,
        lifetime_s: u32,
    ) -> Result<(), NetlinkError> {
        let mut message = address(index, net);
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = lifetime_s;
        lifetime.ifa_preferred = lifetime_s;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        let message = RouteNetlinkMessage::NewAddress(message);
        let doing = format!("lending address {net} to link {index}");
        self.one(&doing, Request::new(message, NLM_F_CREATE | NLM_F_REPLACE), &[]).map(drop)
    }

    /// Removes an address from a link; it may be gone already.
    pub(crate) fn remove_address(&mut self, index: u32, net: Ipv4Net) -> Result<(), NetlinkError> {
        let doing = format!("removing address {net} from link {index}");
        let request = Request::new(RouteNetlinkMessage::DelAddress(address(index, net)), 0);
        self.one(&doing, request, &[libc::EADDRNOTAVAIL]).map(drop)
    }

    /// Gives a link a host address and sends everything, neighbours too, to `gateway`, in one round
    /// trip.
    pub(crate) fn set_host_address(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        gateway: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let requests = vec![
            set_address(index, Ipv4Net::new_assert(address, 32)),
            set_route(route(index, Ipv4Net::new_assert(gateway, 32), None)),
            set_route(route(index, Ipv4Net::default(), Some(gateway))),
        ];
        let verdicts = self.0.exchange(requests, |_, _| ())?;
        let names =
            ["setting address", "setting the route to gateway", "setting default route via"];
        for ((verdict, name), subject) in
            verdicts.iter().zip(names).zip([address, gateway, gateway])
        {
            verdict.check(&format!("{name} {subject}"), &[])?;
        }
        Ok(())
    }

    /// Sends a range to a link, without a gateway.
    pub(crate) fn set_link_route(&mut self, index: u32, net: Ipv4Net) -> Result<(), NetlinkError> {
        let request = set_route(route(index, net.trunc(), None));
        self.one(&format!("setting the route to {net}"), request, &[]).map(drop)
    }

    /// All IPv4 routes of every table.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let request = Request::new(RouteNetlinkMessage::GetRoute(message), 0);
        self.list("listing routes", &request, object::route)
    }

    pub(super) fn list<T>(
        &mut self,
        doing: &str,
        request: &Request<RouteNetlinkMessage>,
        read: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let found = RefCell::new(Vec::new());
        self.0.dump(
            doing,
            request,
            || found.borrow_mut().clear(),
            |message| found.borrow_mut().extend(read(message)),
        )?;
        Ok(found.into_inner())
    }
}

fn first<'a>(verdicts: &'a [Verdict], doing: &str) -> Result<&'a Verdict, NetlinkError> {
    verdicts.first().ok_or_else(|| NetlinkError::Malformed { doing: doing.to_owned() })
}

fn named(name: &str) -> LinkAttribute {
    LinkAttribute::IfName(name.to_owned())
}

/// Three quarters of a link's description are counters nobody here asks for.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn link(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message
}

/// The link `index`, or with 0 the one its attributes name, and that it is to be up.
fn link_up(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = link(attributes);
    message.header = LinkHeader {
        index,
        flags: LinkFlags::Up,
        change_mask: LinkFlags::Up,
        ..LinkHeader::default()
    };
    message
}

fn get_link(name: &str) -> Request<RouteNetlinkMessage> {
    let message = link(vec![named(name), without_statistics()]);
    Request::new(RouteNetlinkMessage::GetLink(message), 0)
}

fn change_link(message: LinkMessage) -> Request<RouteNetlinkMessage> {
    Request::new(RouteNetlinkMessage::NewLink(message), 0)
}

fn create_link(message: LinkMessage) -> Request<RouteNetlinkMessage> {
    Request::new(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn address(index: u32, net: Ipv4Net) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: net.prefix_len(),
        index,
        ..AddressHeader::default()
    };
    let address = net.addr().into();
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn set_address(index: u32, net: Ipv4Net) -> Request<RouteNetlinkMessage> {
    let mut message = address(index, net);
    if net.prefix_len() < 31 {
        message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
    }
    Request::new(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

pub(super) fn route(index: u32, destination: Ipv4Net, gateway: Option<Ipv4Addr>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: destination.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Oif(index));
    if destination.prefix_len() > 0 {
        let address = RouteAddress::Inet(destination.addr());
        message.attributes.push(RouteAttribute::Destination(address));
    }
    let gateway = gateway.map(|gateway| RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    message.attributes.extend(gateway);
    message
}

pub(super) fn set_route(message: RouteMessage) -> Request<RouteNetlinkMessage> {
    Request::new(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}
