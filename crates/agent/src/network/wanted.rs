//! What packet filter and DNS shall be: a pure function of the table and the local instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use api::id::{EnvironmentName, InstanceId};
use api::network::{HostRoute, NetworkTable};
use net::nft::{Base, Group, Groups, Instance, Protocol, Ruleset, ServiceAddress, TooManyGroups};
use net::overlay::Peer;

use crate::dns::NameTable;

/// An instance of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalInstance {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its environment.
    pub environment: EnvironmentName,
}

/// The table and the local instances that everything follows from.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// As the server last gave it.
    pub table: NetworkTable,
    /// The instances of this host that exist or are about to.
    pub local: BTreeMap<InstanceId, LocalInstance>,
}

impl Wanted {
    /// The packet filter. Instances talk within their environment and reach the outside.
    ///
    /// # Errors
    /// There are more environments than group numbers.
    pub fn rules(&self, base: &Base, groups: &mut Groups) -> Result<Ruleset, TooManyGroups> {
        let mut rules = Ruleset::new(base.clone());
        for service in &self.table.services {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let key = ServiceAddress { address: service.address, protocol, port: service.port };
                rules.services.insert(key, service.endpoints.iter().copied().collect());
            }
        }
        let mut used: BTreeSet<Group> = BTreeSet::new();
        let names: BTreeSet<&str> = self.environments().map(EnvironmentName::as_str).collect();
        groups.retain(|name| names.contains(name));
        for known in &self.table.instances {
            if base.subnet.contains(&known.address) {
                continue;
            }
            // Elsewhere: its host confines it; here it only has to be known whose it is.
            let group = groups.of(known.environment.as_str())?;
            used.insert(group);
            rules.elsewhere.insert(known.address, group);
        }
        for local in self.local.values() {
            let group = groups.of(local.environment.as_str())?;
            used.insert(group);
            rules.instances.insert(local.address, Instance { group, egress: true });
        }
        let others = self.table.hosts.iter().filter(|host| host.subnet != base.subnet);
        rules.hosts = others.map(|host| (host.subnet, host.address)).collect();
        rules.allowed = used.into_iter().map(|group| (group, group)).collect();
        Ok(rules)
    }

    /// All hosts of the table; this one may be among them.
    #[must_use]
    pub fn peers(&self) -> BTreeSet<Peer> {
        let peer = |host: &HostRoute| Peer { subnet: host.subnet, address: host.address };
        self.table.hosts.iter().map(peer).collect()
    }

    /// The addresses of instances that are in this table and not in `next`. Who is removed in an
    /// orderly way leaves the services first, so these either ended or left for a fault.
    #[must_use]
    pub fn gone(&self, next: &NetworkTable) -> BTreeSet<Ipv4Addr> {
        let addresses = |table: &NetworkTable| -> BTreeSet<Ipv4Addr> {
            table.instances.iter().map(|instance| instance.address).collect()
        };
        &addresses(&self.table) - &addresses(next)
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> NameTable {
        let mut names = NameTable::new(&self.table);
        names.add_askers(self.local.values().map(|local| (local.address, &local.environment)));
        names
    }

    fn environments(&self) -> impl Iterator<Item = &EnvironmentName> {
        let known = self.table.instances.iter().map(|instance| &instance.environment);
        known.chain(self.local.values().map(|local| &local.environment))
    }
}

#[cfg(test)]
mod tests {
    use api::id::{AppName, Generation, HostId};
    use api::network::{InstanceAddress, Service};
    use net::Slug;

    use super::*;

    fn base() -> Base {
        Base {
            slug: Slug::new("t1").unwrap(),
            subnet: "10.128.0.0/24".parse().unwrap(),
            cluster: "10.128.0.0/10".parse().unwrap(),
            services: "10.127.0.0/16".parse().unwrap(),
            tunnel: None,
        }
    }

    fn local(environment: &str, last: u8) -> LocalInstance {
        let environment = EnvironmentName::new(environment).unwrap();
        LocalInstance { address: Ipv4Addr::new(10, 128, 0, last), environment }
    }

    #[test]
    fn instances_talk_inside_their_environment_only() {
        let mut wanted = Wanted::default();
        for (n, environment) in ["staging", "production", "staging"].into_iter().enumerate() {
            let id = InstanceId::new(format!("i{n}")).unwrap();
            wanted.local.insert(id, local(environment, n as u8 + 2));
        }
        let mut groups = Groups::default();
        let rules = wanted.rules(&base(), &mut groups).unwrap();
        assert_eq!(rules.instances.len(), 3);
        assert_eq!(rules.allowed.len(), 2);
        assert!(rules.allowed.iter().all(|(from, to)| from == to));
        let group = |last| rules.instances[&Ipv4Addr::new(10, 128, 0, last)].group;
        assert_eq!(group(2), group(4));
        assert_ne!(group(2), group(3));
        wanted.local.pop_first();
        let fewer = wanted.rules(&base(), &mut groups).unwrap();
        assert_eq!(fewer.instances[&Ipv4Addr::new(10, 128, 0, 4)].group, group(4));
    }

    #[test]
    fn what_is_on_other_hosts_is_known_but_not_confined_here() {
        let known = |id: &str, address: &str| InstanceAddress {
            instance: InstanceId::new(id).unwrap(),
            app: AppName::new("shop").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            address: address.parse().unwrap(),
        };
        let route = |host: &str, address: &str, subnet: &str| HostRoute {
            host: HostId::new(host).unwrap(),
            address: address.parse().unwrap(),
            subnet: subnet.parse().unwrap(),
        };
        let table = NetworkTable {
            generation: Generation(1),
            instances: vec![known("a", "10.128.0.2"), known("b", "10.128.1.2")],
            hosts: vec![
                route("here", "192.0.2.1", "10.128.0.0/24"),
                route("there", "192.0.2.2", "10.128.1.0/24"),
            ],
            ..NetworkTable::default()
        };
        let mut wanted = Wanted { table, ..Wanted::default() };
        let id = InstanceId::new("a").unwrap();
        wanted.local.insert(id, local("staging", 2));
        let rules = wanted.rules(&base(), &mut Groups::default()).unwrap();
        assert_eq!(rules.instances.len(), 1);
        let there = Ipv4Addr::new(10, 128, 1, 2);
        let group = rules.instances[&Ipv4Addr::new(10, 128, 0, 2)].group;
        assert_eq!(rules.elsewhere, BTreeMap::from([(there, group)]));
        let host = ("10.128.1.0/24".parse().unwrap(), Ipv4Addr::new(192, 0, 2, 2));
        assert_eq!(rules.hosts, BTreeMap::from([host]));
        let mut next = wanted.table.clone();
        next.instances.pop();
        assert_eq!(wanted.gone(&next), BTreeSet::from([there]));
        assert_eq!(wanted.gone(&wanted.table), BTreeSet::new());
    }

    #[test]
    fn a_service_stands_for_its_endpoints_by_both_protocols() {
        let service = Service {
            app: AppName::new("shop").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            address: Ipv4Addr::new(10, 127, 0, 1),
            port: 8080,
            endpoints: vec!["10.128.0.2:8080".parse().unwrap(), "10.128.0.3:8080".parse().unwrap()],
        };
        let table = NetworkTable {
            generation: Generation(1),
            services: vec![service],
            ..NetworkTable::default()
        };
        let wanted = Wanted { table, ..Wanted::default() };
        let rules = wanted.rules(&base(), &mut Groups::default()).unwrap();
        assert_eq!(rules.services.len(), 2);
        assert!(rules.services.values().all(|endpoints| endpoints.len() == 2));
    }
}
