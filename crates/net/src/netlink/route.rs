//! The route family's messages this crate sends and reads: links, addresses, routes
//! (linux/rtnetlink.h, linux/if_link.h). One method is one round trip unless it says otherwise.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;

use super::message::{Attributes, Message, Request, read_text, read_u32};
use super::socket::{Family, NetlinkError, Socket, Verdict, flag};

/// linux/veth.h.
const VETH_INFO_PEER: u16 = 1;
/// linux/if_link.h.
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
const ROUTE_BODY: usize = 12;
const UP: u32 = 1;
const RUNNING: u32 = 0x40;
/// The loopback link is the first of every namespace.
const LOOPBACK: u32 = 1;

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
}

/// A route as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Net,
    /// The outgoing link; absent for multipath and unreachable routes.
    pub(crate) link: Option<u32>,
    pub(crate) local: bool,
}

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

    fn one(&mut self, doing: &str, request: Request, fine: &[i32]) -> Result<i32, NetlinkError> {
        let verdicts = self.0.exchange(vec![request], |_, _| ())?;
        let verdict = first(&verdicts, doing)?;
        verdict.check(doing, fine)?;
        Ok(verdict.errno)
    }

    /// The link called `name`, if there is one.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let doing = format!("looking up link {name}");
        let request =
            Request::new(libc::RTM_GETLINK, 0, &link_body(0, 0)).text(libc::IFLA_IFNAME, name);
        let mut found = None;
        let verdicts = self.0.exchange(vec![request], |_, message| found = parse_link(message))?;
        first(&verdicts, &doing)?.check(&doing, &[libc::ENODEV])?;
        Ok(found)
    }

    /// Brings the loopback link and `name` up, the latter with its MTU, and looks `name` up, in one
    /// round trip.
    pub(crate) fn bring_up(&mut self, name: &str, mtu: u32) -> Result<Option<Link>, NetlinkError> {
        let requests = vec![
            Request::new(libc::RTM_NEWLINK, 0, &link_body(LOOPBACK, UP)),
            Request::new(libc::RTM_NEWLINK, 0, &link_body(0, UP))
                .text(libc::IFLA_IFNAME, name)
                .number(libc::IFLA_MTU, mtu),
            Request::new(libc::RTM_GETLINK, 0, &link_body(0, 0)).text(libc::IFLA_IFNAME, name),
        ];
        let mut found = None;
        let verdicts = self.0.exchange(requests, |index, message| {
            if index == 2 {
                found = parse_link(message);
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
        let request = Request::new(libc::RTM_GETLINK, 0, &link_body(0, 0));
        self.list("listing links", &request, parse_link)
    }

    /// Makes a bridge, up. `false` when a link of that name exists already.
    pub(crate) fn create_bridge(
        &mut self,
        name: &str,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<bool, NetlinkError> {
        let request = Request::new(libc::RTM_NEWLINK, create(), &link_body(0, UP))
            .text(libc::IFLA_IFNAME, name)
            .attribute(libc::IFLA_ADDRESS, &mac)
            .number(libc::IFLA_MTU, mtu)
            .nest(libc::IFLA_LINKINFO, &[], |info| {
                info.text(libc::IFLA_INFO_KIND, "bridge").nest(libc::IFLA_INFO_DATA, &[], |data| {
                    data.attribute(IFLA_BR_MCAST_SNOOPING, &[0])
                })
            });
        let errno = self.one(&format!("creating bridge {name}"), request, &[libc::EEXIST])?;
        Ok(errno == 0)
    }

    /// Makes a veth pair whose host end is up and whose other end is, not yet up, in its namespace,
    /// in one round trip. Gives the host end's index, or `None` when a link of that name exists
    /// already.
    pub(crate) fn create_veth(&mut self, veth: &Veth<'_>) -> Result<Option<u32>, NetlinkError> {
        let namespace = veth.peer_namespace.as_raw_fd().cast_unsigned();
        let request = Request::new(libc::RTM_NEWLINK, create(), &link_body(0, UP))
            .text(libc::IFLA_IFNAME, veth.name)
            .attribute(libc::IFLA_ADDRESS, &veth.mac)
            .number(libc::IFLA_MTU, veth.mtu)
            .number(libc::IFLA_GROUP, veth.group)
            .nest(libc::IFLA_LINKINFO, &[], |info| {
                info.text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, &[], |data| {
                    // The kernel cannot bring this end up before both exist (veth_open: ENOTCONN).
                    data.nest(VETH_INFO_PEER, &link_body(0, 0), |peer| {
                        peer.text(libc::IFLA_IFNAME, veth.peer_name)
                            .attribute(libc::IFLA_ADDRESS, &veth.peer_mac)
                            .number(libc::IFLA_MTU, veth.mtu)
                            .number(libc::IFLA_NET_NS_FD, namespace)
                    })
                })
            });
        let get =
            Request::new(libc::RTM_GETLINK, 0, &link_body(0, 0)).text(libc::IFLA_IFNAME, veth.name);
        let mut found = None;
        let verdicts = self.0.exchange(vec![request, get], |_, message| {
            found = parse_link(message);
        })?;
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
        let mut request =
            Request::new(libc::RTM_NEWLINK, 0, &link_body(index, UP)).number(libc::IFLA_MTU, mtu);
        if let Some(mac) = mac {
            request = request.attribute(libc::IFLA_ADDRESS, &mac);
        }
        self.one(&format!("configuring link {index}"), request, &[]).map(drop)
    }

    /// Puts a link into a device group with an MTU, up.
    pub(crate) fn regroup(&mut self, index: u32, group: u32, mtu: u32) -> Result<(), NetlinkError> {
        let request = Request::new(libc::RTM_NEWLINK, 0, &link_body(index, UP))
            .number(libc::IFLA_MTU, mtu)
            .number(libc::IFLA_GROUP, group);
        self.one(&format!("configuring link {index}"), request, &[]).map(drop)
    }

    /// Sends what is for `address` to a link, as from `source`.
    pub(crate) fn set_host_route(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        source: Ipv4Addr,
    ) -> Result<(), NetlinkError> {
        let request = route_request(index, Ipv4Net::new_assert(address, 32), None)
            .attribute(libc::RTA_PREFSRC, &source.octets());
        self.one(&format!("setting the route to instance {address}"), request, &[]).map(drop)
    }

    /// Deletes a link (of a veth pair: both ends). `false` when there was none.
    pub(crate) fn delete_link(&mut self, name: &str) -> Result<bool, NetlinkError> {
        let request =
            Request::new(libc::RTM_DELLINK, 0, &link_body(0, 0)).text(libc::IFLA_IFNAME, name);
        let errno = self.one(&format!("deleting link {name}"), request, &[libc::ENODEV])?;
        Ok(errno == 0)
    }

    /// All IPv4 addresses with the index of their link.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, Ipv4Net)>, NetlinkError> {
        let request = Request::new(libc::RTM_GETADDR, 0, &address_body(0, 0));
        self.list("listing addresses", &request, parse_address)
    }

    /// Sets an address on a link; an equal one stays.
    pub(crate) fn set_address(&mut self, index: u32, net: Ipv4Net) -> Result<(), NetlinkError> {
        let doing = format!("setting address {net} on link {index}");
        self.one(&doing, address_request(libc::RTM_NEWADDR, index, net), &[]).map(drop)
    }

    /// Removes an address from a link; it may be gone already.
    pub(crate) fn remove_address(&mut self, index: u32, net: Ipv4Net) -> Result<(), NetlinkError> {
        let doing = format!("removing address {net} from link {index}");
        let request = address_request(libc::RTM_DELADDR, index, net);
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
        let whole = Ipv4Net::new_assert(address, 32);
        let requests = vec![
            address_request(libc::RTM_NEWADDR, index, whole),
            route_request(index, Ipv4Net::new_assert(gateway, 32), None),
            route_request(index, Ipv4Net::default(), Some(gateway)),
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
        let request = route_request(index, net.trunc(), None);
        self.one(&format!("setting the route to {net}"), request, &[]).map(drop)
    }

    /// All IPv4 routes of every table.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut body = [0; ROUTE_BODY];
        body[0] = family();
        let request = Request::new(libc::RTM_GETROUTE, 0, &body);
        self.list("listing routes", &request, parse_route)
    }

    fn list<T>(
        &mut self,
        doing: &str,
        request: &Request,
        parse: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let found = std::cell::RefCell::new(Vec::new());
        self.0.dump(
            doing,
            request,
            || found.borrow_mut().clear(),
            |message| found.borrow_mut().extend(parse(message)),
        )?;
        Ok(found.into_inner())
    }
}

fn first<'a>(verdicts: &'a [Verdict], doing: &str) -> Result<&'a Verdict, NetlinkError> {
    verdicts.first().ok_or_else(|| NetlinkError::Malformed { doing: doing.to_owned() })
}

fn family() -> u8 {
    u8::try_from(libc::AF_INET).expect("AF_INET is 2")
}

fn create() -> u16 {
    flag(libc::NLM_F_CREATE) | flag(libc::NLM_F_EXCL)
}

/// struct ifinfomsg; `up` is both the flag and the mask of what changes.
fn link_body(index: u32, up: u32) -> [u8; LINK_BODY] {
    let mut body = [0; LINK_BODY];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&up.to_ne_bytes());
    body[12..16].copy_from_slice(&up.to_ne_bytes());
    body
}

/// struct ifaddrmsg.
fn address_body(index: u32, prefix: u8) -> [u8; ADDRESS_BODY] {
    let mut body = [0; ADDRESS_BODY];
    body[0] = family();
    body[1] = prefix;
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body
}

fn address_request(kind: u16, index: u32, net: Ipv4Net) -> Request {
    let flags = match kind {
        libc::RTM_NEWADDR => flag(libc::NLM_F_CREATE) | flag(libc::NLM_F_REPLACE),
        _ => 0,
    };
    let request = Request::new(kind, flags, &address_body(index, net.prefix_len()))
        .attribute(libc::IFA_LOCAL, &net.addr().octets())
        .attribute(libc::IFA_ADDRESS, &net.addr().octets());
    match net.prefix_len() {
        ..31 if kind == libc::RTM_NEWADDR => {
            request.attribute(libc::IFA_BROADCAST, &net.broadcast().octets())
        }
        _ => request,
    }
}

fn route_request(index: u32, destination: Ipv4Net, gateway: Option<Ipv4Addr>) -> Request {
    let scope = if gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    let mut body = [0; ROUTE_BODY];
    body[0] = family();
    body[1] = destination.prefix_len();
    body[4] = libc::RT_TABLE_MAIN;
    body[5] = libc::RTPROT_STATIC;
    body[6] = scope;
    body[7] = libc::RTN_UNICAST;
    let flags = flag(libc::NLM_F_CREATE) | flag(libc::NLM_F_REPLACE);
    let mut request = Request::new(libc::RTM_NEWROUTE, flags, &body).number(libc::RTA_OIF, index);
    if destination.prefix_len() > 0 {
        request = request.attribute(libc::RTA_DST, &destination.addr().octets());
    }
    if let Some(gateway) = gateway {
        request = request.attribute(libc::RTA_GATEWAY, &gateway.octets());
    }
    request
}

fn parse_link(message: Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let flags = read_u32(message.body.get(8..)?)?;
    let mut link = Link {
        index: read_u32(message.body.get(4..)?)?,
        up: flags & UP != 0,
        running: flags & RUNNING != 0,
        ..Link::default()
    };
    for (kind, value) in Attributes::after(message.body, LINK_BODY) {
        match kind {
            libc::IFLA_IFNAME => link.name = read_text(value),
            libc::IFLA_MTU => link.mtu = read_u32(value)?,
            libc::IFLA_ADDRESS => link.mac = value.to_vec(),
            libc::IFLA_GROUP => link.group = read_u32(value)?,
            libc::IFLA_LINKINFO => {
                link.kind = Attributes(value).find(libc::IFLA_INFO_KIND).map(read_text);
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(message: Message<'_>) -> Option<(u32, Ipv4Net)> {
    if message.kind != libc::RTM_NEWADDR || message.body.first() != Some(&family()) {
        return None;
    }
    let attributes = Attributes::after(message.body, ADDRESS_BODY);
    let value = attributes.find(libc::IFA_LOCAL).or_else(|| attributes.find(libc::IFA_ADDRESS))?;
    let net = Ipv4Net::new(read_address(value)?, *message.body.get(1)?).ok()?;
    Some((read_u32(message.body.get(4..)?)?, net))
}

fn parse_route(message: Message<'_>) -> Option<Route> {
    if message.kind != libc::RTM_NEWROUTE || message.body.first() != Some(&family()) {
        return None;
    }
    let attributes = Attributes::after(message.body, ROUTE_BODY);
    let destination = match attributes.find(libc::RTA_DST) {
        Some(value) => read_address(value)?,
        None => Ipv4Addr::UNSPECIFIED,
    };
    Some(Route {
        destination: Ipv4Net::new(destination, *message.body.get(1)?).ok()?,
        link: attributes.find(libc::RTA_OIF).and_then(read_u32),
        local: *message.body.get(7)? != libc::RTN_UNICAST,
    })
}

fn read_address(value: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
}
