//! The wanted packet filter as plain values. No text, no kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;

use ipnet::Ipv4Net;
use thiserror::Error;

use crate::Slug;
use crate::address::gateway;

/// Chains for up to so many endpoints stand ready, so that a service which grows or shrinks within
/// that changes elements only.
pub(super) const SPREADS_READY: usize = 64;

/// Where a service's connections go: an instance's address and port.
pub type Endpoint = SocketAddrV4;

/// What a host's filter shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// What stays the same for an installation's life.
    pub base: Base,
    /// The endpoints of each service address; connections are spread evenly over them. One without
    /// endpoints refuses connections, as an unknown one does.
    pub services: BTreeMap<ServiceAddress, BTreeSet<Endpoint>>,
    /// The instances on this host by address.
    pub instances: BTreeMap<Ipv4Addr, Instance>,
    /// The instances on other hosts by address, with whom they belong together. One with an address
    /// of this host's is not looked at.
    pub elsewhere: BTreeMap<Ipv4Addr, Group>,
    /// The other hosts: the addresses of their instances, and their own on the network between
    /// hosts. Nothing with an address of the cluster is taken from anybody else.
    pub hosts: BTreeMap<Ipv4Net, Ipv4Addr>,
    /// Who may open connections to whom, as (from, to). A group that talks within itself needs its
    /// pair too.
    pub allowed: BTreeSet<(Group, Group)>,
    /// Ports of the gateway address that instances may reach; DNS, usually.
    pub host_ports: BTreeSet<(Protocol, u16)>,
}

/// The part of a rule set that does not change with apps; changing it means a full load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Whose tables.
    pub slug: Slug,
    /// This host's part of the cluster's range; its first address is the gateway.
    pub subnet: Ipv4Net,
    /// All instance addresses of the cluster: never masqueraded, reachable only by `allowed`.
    pub cluster: Ipv4Net,
    /// All service addresses of the cluster.
    pub services: Ipv4Net,
    /// The tunnel to other hosts, where there is one.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel to other hosts, as the filter sees it from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// Its UDP port.
    pub port: u16,
    /// Its network identifier, 24 bits.
    pub identifier: u32,
}

/// Where apps find a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAddress {
    /// The stable virtual address.
    pub address: Ipv4Addr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port asked for; the endpoint's may differ.
    pub port: u16,
}

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What the filter knows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    /// Who it belongs together with.
    pub group: Group,
    /// Whether it may open connections to the world outside the cluster.
    pub egress: bool,
}

/// A set of instances that are treated alike when it comes to who may talk to whom: all of an
/// environment, or those of one app in one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(NonZeroU32);

impl Group {
    /// The group with a number; `None` for 0, which stands for "no group" in the kernel.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Its number, never 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

/// Hands out groups by name and keeps each name's number, so that a new name changes no other's
/// elements. Numbers mean something only between one full load and the next.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    numbers: BTreeMap<String, Group>,
}

/// All 2³² − 1 group numbers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("assigning a group number: all are taken")]
pub struct TooManyGroups;

impl Groups {
    /// The group of `name`, new at its first use.
    ///
    /// # Errors
    /// When no number is left.
    pub fn of(&mut self, name: &str) -> Result<Group, TooManyGroups> {
        if let Some(group) = self.numbers.get(name) {
            return Ok(*group);
        }
        let used: BTreeSet<u32> = self.numbers.values().map(|group| group.number()).collect();
        let free = (1..=u32::MAX).find(|number| !used.contains(number));
        let group = free.and_then(Group::new).ok_or(TooManyGroups)?;
        self.numbers.insert(name.to_owned(), group);
        Ok(group)
    }

    /// Forgets every name that `keep` does not want; their numbers are given out again.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.numbers.retain(|name, _| keep(name));
    }
}

impl Ruleset {
    /// A filter for a host without instances: everything is denied but DNS at the gateway.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self {
            base,
            services: BTreeMap::new(),
            instances: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            hosts: BTreeMap::new(),
            allowed: BTreeSet::new(),
            host_ports: BTreeSet::from([(Protocol::Udp, 53), (Protocol::Tcp, 53)]),
        }
    }

    /// A filter with the same base and nothing in it, not even DNS.
    pub(super) fn bare(&self) -> Self {
        Self { host_ports: BTreeSet::new(), ..Self::new(self.base.clone()) }
    }

    /// The subnets of other hosts.
    pub(super) fn beyond(&self) -> BTreeSet<Ipv4Net> {
        self.hosts.keys().map(Ipv4Net::trunc).collect()
    }

    /// Which host may send from which /24, the latter as its upper 24 bits, by the tunnel.
    pub(super) fn peers(&self) -> BTreeSet<(Ipv4Addr, u32)> {
        let hosts = self.hosts.iter().filter(|_| self.base.tunnel.is_some());
        hosts.map(|(subnet, address)| (*address, u32::from(subnet.network()) >> 8)).collect()
    }

    /// How many endpoints services have, without repetition, where no chain stands ready: each
    /// number has a chain of its own.
    pub(super) fn spreads(&self) -> BTreeSet<usize> {
        self.services.values().map(BTreeSet::len).filter(|count| *count > SPREADS_READY).collect()
    }
}

impl Base {
    /// The gateway's address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        gateway(self.subnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_its_number_while_others_come_and_go() {
        let mut groups = Groups::default();
        let staging = groups.of("staging").unwrap();
        let production = groups.of("production").unwrap();
        assert_ne!(staging, production);
        groups.retain(|name| name != "staging");
        assert_eq!(groups.of("production").unwrap(), production);
        assert_eq!(groups.of("test").unwrap(), staging, "a number is given out again");
        assert_eq!(Group::new(0), None);
    }
}
