//! What packet filter and DNS shall be: a pure function of the table and the local instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use api::id::{EnvironmentName, InstanceId};
use api::network::NetworkTable;
use net::nft::{Base, Group, Groups, Instance, Protocol, Ruleset, ServiceAddress, TooManyGroups};

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
            used.insert(groups.of(known.environment.as_str())?);
        }
        for local in self.local.values() {
            let group = groups.of(local.environment.as_str())?;
            used.insert(group);
            rules.instances.insert(local.address, Instance { group, egress: true });
        }
        rules.allowed = used.into_iter().map(|group| (group, group)).collect();
        Ok(rules)
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
    use api::id::{AppName, Generation};
    use api::network::Service;
    use net::Slug;

    use super::*;

    fn base() -> Base {
        Base {
            slug: Slug::new("t1").unwrap(),
            subnet: "10.128.0.0/24".parse().unwrap(),
            cluster: "10.128.0.0/10".parse().unwrap(),
            services: "10.127.0.0/16".parse().unwrap(),
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
