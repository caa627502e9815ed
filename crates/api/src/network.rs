//! What hosts must know of services and addresses. Swapped whole, acknowledged by generation.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, EnvironmentName, Generation, HostId, InstanceId};

/// The services and instances that a host's packet filter and DNS answer for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkTable {
    /// Grows with every change of content.
    pub generation: Generation,
    /// Services, sorted by environment and app.
    pub services: Vec<Service>,
    /// All instances on hosts that are neither suspect nor taken for dead, sorted: which address
    /// belongs to which environment. Connections with an address that leaves this list are reset.
    pub instances: Vec<InstanceAddress>,
    /// All hosts that are not taken for dead, sorted: which instances' addresses are behind which
    /// host. Each host leaves itself out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostRoute>,
}

/// The way to a host's instances.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct HostRoute {
    /// The host.
    pub host: HostId,
    /// Where it is reached on the network between hosts.
    pub address: Ipv4Addr,
    /// The addresses of its instances.
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
}

/// An app's stable virtual address inside an environment; its name is `APP.ENVIRONMENT.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The virtual address.
    pub address: Ipv4Addr,
    /// The service's port, for TCP and UDP.
    pub port: u16,
    /// Where its connections go: instances in service with the port of their release, sorted.
    pub endpoints: Vec<SocketAddrV4>,
}

/// An instance's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceAddress {
    /// The instance.
    pub instance: InstanceId,
    /// Its app.
    pub app: AppName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its address.
    pub address: Ipv4Addr,
}

/// The addresses the ingress answers on, and which hosts may hold each. The hosts agree among
/// themselves who does; servers only say who may and who is preferred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipTable {
    /// Grows with every change of content.
    pub generation: Generation,
    /// What adverts are authenticated with.
    pub key: VipKey,
    /// The addresses, sorted.
    pub vips: Vec<Vip>,
}

/// What adverts between ingress hosts are authenticated with: one per cluster, random, at least 32
/// characters. Never shown. With an empty one no address is held.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VipKey(pub String);

impl std::fmt::Debug for VipKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VipKey(…)")
    }
}

/// An address that one ingress host of its segment holds at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// The address.
    pub address: Ipv4Addr,
    /// Whether a host with a higher priority takes it from one that holds it, when it returns.
    pub preempt: bool,
    /// Who may hold it, at most [`Vip::MAX_CANDIDATES`], sorted by host; all on one segment.
    pub candidates: Vec<VipCandidate>,
}

impl Vip {
    /// The most hosts that may hold an address: each waits 50 ms longer than the one before it, so
    /// that the last takes over 400 ms after the first would have.
    pub const MAX_CANDIDATES: usize = 8;
}

impl VipTable {
    /// The part that concerns a host: the addresses that it may hold, and the key only where there
    /// are any.
    #[must_use]
    pub fn for_host(&self, host: &HostId) -> Self {
        let may = |vip: &&Vip| vip.candidates.iter().any(|candidate| candidate.host == *host);
        let vips: Vec<Vip> = self.vips.iter().filter(may).cloned().collect();
        let key = if vips.is_empty() { VipKey::default() } else { self.key.clone() };
        Self { generation: self.generation, key, vips }
    }
}

/// A host that may hold an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipCandidate {
    /// The host.
    pub host: HostId,
    /// Its own address on the segment.
    pub address: Ipv4Addr,
    /// The higher is preferred; among equals the higher address.
    pub priority: u8,
}
