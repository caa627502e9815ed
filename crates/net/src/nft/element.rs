//! Elements of our sets and maps, in both languages: nft's text and the kernel's bytes. Pure.
//!
//! In the kernel a key is the sequence of its parts, each filled up to whole registers of four
//! bytes. Addresses and ports are in network order, marks in the machine's.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::ruleset::{Endpoint, Group, Protocol, ServiceAddress};
use crate::slug::port_name;

/// linux/if.h: IFNAMSIZ.
const INTERFACE_NAME: usize = 16;

/// A set or map of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
    Services,
    Endpoints,
    Groups,
    Pairs,
    Own,
    Confined,
    HostPorts,
    Ports,
    Beyond,
    Peers,
}

impl Set {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Endpoints => "endpoints",
            Self::Groups => "groups",
            Self::Pairs => "pairs",
            Self::Own => "own",
            Self::Confined => "confined",
            Self::HostPorts => "host_ports",
            Self::Ports => "ports",
            Self::Beyond => "beyond",
            Self::Peers => "peers",
        }
    }
}

/// What an element is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Of `services`.
    Service(ServiceAddress),
    /// Of `endpoints`: a service's endpoint by its number.
    Slot(ServiceAddress, u32),
    /// Of `groups` and `confined`.
    Address(Ipv4Addr),
    /// Of `own`: the address with itself.
    Own(Ipv4Addr),
    /// Of `ports`: the port of the instance with this address.
    Port(Ipv4Addr),
    /// Of `pairs`.
    Pair(Group, Group),
    /// Of `host_ports`.
    HostPort(Protocol, u16),
    /// Of `beyond`.
    Subnet(Ipv4Net),
    /// Of `peers`: a host, and the upper 24 bits of what it may send from.
    Peer(Ipv4Addr, u32),
}

/// What a map's element leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// The chain for so many endpoints.
    Spread(usize),
    Endpoint(Endpoint),
    Group(Group),
}

/// A value as the kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// Bytes of registers.
    Bytes(Vec<u8>),
    /// On to a chain, never back.
    Goto(String),
}

/// Name of the chain for services with so many endpoints.
pub(super) fn spread(count: usize) -> String {
    format!("spread_{count}")
}

impl Key {
    /// The kernel's bytes; none for what only nft knows how to put: an interval is two elements,
    /// and raw bits of a packet have a form of their own.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let parts: Vec<Vec<u8>> = match self {
            Self::Service(service) => service_parts(service).into(),
            Self::Slot(service, slot) => {
                service_parts(service).into_iter().chain([slot.to_ne_bytes().to_vec()]).collect()
            }
            Self::Address(address) => vec![octets(*address)],
            Self::Own(address) => vec![octets(*address), octets(*address)],
            Self::Port(address) => {
                let mut name = port_name(*address).into_bytes();
                name.resize(INTERFACE_NAME, 0);
                vec![name, octets(*address)]
            }
            Self::Pair(from, to) => vec![mark(*from), mark(*to)],
            Self::HostPort(protocol, port) => {
                vec![vec![number(*protocol)], port.to_be_bytes().to_vec()]
            }
            Self::Subnet(_) | Self::Peer(..) => return None,
        };
        Some(registers(parts))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(ServiceAddress { address, protocol, port }) => {
                write!(f, "{address} . {protocol} . {port}")
            }
            Self::Slot(service, slot) => write!(f, "{} . {slot}", Self::Service(*service)),
            Self::Address(address) => write!(f, "{address}"),
            Self::Own(address) => write!(f, "{address} . {address}"),
            Self::Port(address) => write!(f, "\"{}\" . {address}", port_name(*address)),
            Self::Pair(from, to) => write!(f, "{} . {}", from.number(), to.number()),
            Self::HostPort(protocol, port) => write!(f, "{protocol} . {port}"),
            Self::Subnet(subnet) => write!(f, "{subnet}"),
            Self::Peer(address, subnet) => write!(f, "{address} . {subnet:#08x}"),
        }
    }
}

impl Value {
    /// As the kernel takes it.
    pub(super) fn data(&self) -> Data {
        match self {
            Self::Spread(count) => Data::Goto(spread(*count)),
            Self::Endpoint(to) => {
                Data::Bytes(registers(vec![octets(*to.ip()), to.port().to_be_bytes().to_vec()]))
            }
            Self::Group(group) => Data::Bytes(mark(*group)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spread(count) => write!(f, "goto {}", spread(*count)),
            Self::Endpoint(to) => write!(f, "{} . {}", to.ip(), to.port()),
            Self::Group(group) => write!(f, "{}", group.number()),
        }
    }
}

fn service_parts(service: &ServiceAddress) -> [Vec<u8>; 3] {
    let ServiceAddress { address, protocol, port } = service;
    [octets(*address), vec![number(*protocol)], port.to_be_bytes().to_vec()]
}

fn octets(address: Ipv4Addr) -> Vec<u8> {
    address.octets().to_vec()
}

fn mark(group: Group) -> Vec<u8> {
    group.number().to_ne_bytes().to_vec()
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

fn registers(parts: Vec<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_key_begins_a_register() {
        let address = Ipv4Addr::new(10, 127, 0, 1);
        let service = ServiceAddress { address, protocol: Protocol::Udp, port: 0x1234 };
        let mut wanted = vec![10, 127, 0, 1, 17, 0, 0, 0, 0x12, 0x34, 0, 0];
        assert_eq!(Key::Service(service).bytes().unwrap(), wanted);
        wanted.extend(7_u32.to_ne_bytes());
        let slot = Key::Slot(service, 7);
        assert_eq!(slot.bytes().unwrap(), wanted);
        assert_eq!(slot.to_string(), "10.127.0.1 . udp . 4660 . 7");
        let port = Key::Port(address).bytes().unwrap();
        assert_eq!(port, b"fv0a7f0001\0\0\0\0\0\0\x0a\x7f\0\x01");
    }
}
