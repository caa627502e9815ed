//! Who is there: hosts on hypervisors, servers, and their names and addresses.

use std::net::{Ipv4Addr, SocketAddr};

use api::host::{Capacity, DomainPath};
use api::id::{HostId, ServerId};
use api::protocol::Place;
use api::unit::{Bytes, MilliCpu};

use super::place::NodeId;

/// Where agents answer probes.
const PROBE_PORT: u16 = 7444;

/// Where servers are reached.
const API_PORT: u16 = 7443;

/// How many of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) hosts: usize,
    pub(super) servers: usize,
    pub(super) hypervisors: usize,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Host(usize),
    Server(usize),
    Store,
}

impl Shape {
    pub(super) fn nodes(&self) -> usize {
        self.hosts + self.servers + 1
    }

    pub(super) fn host(&self, at: usize) -> NodeId {
        NodeId(at)
    }

    pub(super) fn server(&self, at: usize) -> NodeId {
        NodeId(self.hosts + at)
    }

    pub(super) fn store(&self) -> NodeId {
        NodeId(self.hosts + self.servers)
    }

    pub(super) fn kind(&self, node: NodeId) -> Kind {
        match node.0 {
            at if at < self.hosts => Kind::Host(at),
            at if at < self.hosts + self.servers => Kind::Server(at - self.hosts),
            _ => Kind::Store,
        }
    }

    pub(super) fn name(&self, node: NodeId) -> String {
        match self.kind(node) {
            Kind::Host(at) => self.host_name(at).to_string(),
            Kind::Server(at) => self.server_name(at).to_string(),
            Kind::Store => "store".to_owned(),
        }
    }

    pub(super) fn host_name(&self, at: usize) -> HostId {
        HostId::new(format!("h{}", at + 1)).expect("a plain name")
    }

    pub(super) fn server_name(&self, at: usize) -> ServerId {
        ServerId::new(format!("s{}", at + 1)).expect("a plain name")
    }

    /// The hypervisor that a host or server runs on.
    pub(super) fn hypervisor(&self, node: NodeId) -> Option<usize> {
        match self.kind(node) {
            Kind::Host(at) | Kind::Server(at) => Some(at % self.hypervisors),
            Kind::Store => None,
        }
    }

    pub(super) fn address(&self, node: NodeId) -> Ipv4Addr {
        let at = u8::try_from(node.0 + 10).expect("few nodes");
        Ipv4Addr::new(10, 0, 0, at)
    }

    pub(super) fn probed_at(&self, node: NodeId) -> SocketAddr {
        SocketAddr::new(self.address(node).into(), PROBE_PORT)
    }

    pub(super) fn served_at(&self, server: usize) -> String {
        format!("{}:{API_PORT}", self.address(self.server(server)))
    }

    /// The node behind an address.
    pub(super) fn node_at(&self, address: Ipv4Addr) -> Option<NodeId> {
        let node = usize::from(address.octets()[3]).checked_sub(10)?;
        (node < self.nodes()).then_some(NodeId(node))
    }

    /// The server behind `HOST:PORT`.
    pub(super) fn dialled(&self, address: &str) -> Option<NodeId> {
        let address: SocketAddr = address.parse().ok()?;
        let SocketAddr::V4(address) = address else { return None };
        let node = self.node_at(*address.ip())?;
        matches!(self.kind(node), Kind::Server(_)).then_some(node)
    }

    /// Where a host stands.
    pub(super) fn place(&self, at: usize) -> Place {
        let node = self.host(at);
        let hypervisor = self.hypervisor(node).unwrap_or(0);
        let domain: DomainPath = format!("hv-{}", hypervisor + 1).parse().expect("a plain name");
        Place { domain: Some(domain), address: Some(self.address(node)), subnet: None }
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            cpu: MilliCpu(16_000),
            memory: Bytes::mib(16_000),
            pids: 30_000,
            disk: Bytes::mib(64_000),
            instances: 253,
        }
    }
}
