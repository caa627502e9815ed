//! Which name is which address, and who may know it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use api::id::EnvironmentName;
use api::network::NetworkTable;

/// The names of one network table.
#[derive(Debug, Default)]
pub struct NameTable {
    /// By instance address: its environment.
    askers: HashMap<Ipv4Addr, EnvironmentName>,
    /// By `APP.ENVIRONMENT`.
    services: HashMap<String, Ipv4Addr>,
    /// By instance name: its environment and address.
    instances: HashMap<String, (EnvironmentName, Ipv4Addr)>,
}

/// What a name inside `internal` is for one asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This address.
    Address(Ipv4Addr),
    /// There are names below it.
    Branch,
    /// There is no such name.
    Nothing,
}

impl NameTable {
    /// The names of a table.
    #[must_use]
    pub fn new(table: &NetworkTable) -> Self {
        let service =
            |s: &api::network::Service| (format!("{}.{}", s.app, s.environment), s.address);
        let instance = |i: &api::network::InstanceAddress| {
            (i.instance.to_string(), (i.environment.clone(), i.address))
        };
        Self {
            askers: table.instances.iter().map(|i| (i.address, i.environment.clone())).collect(),
            services: table.services.iter().map(service).collect(),
            instances: table.instances.iter().map(instance).collect(),
        }
    }

    /// Adds the host's own instances: they are known from the assignment before any table names
    /// them.
    pub fn add_askers<'a>(
        &mut self,
        local: impl IntoIterator<Item = (Ipv4Addr, &'a EnvironmentName)>,
    ) {
        for (address, environment) in local {
            self.askers.insert(address, environment.clone());
        }
    }

    /// Looks a name up for whoever asks from `asker`; `labels` are those before `internal`, lower
    /// case. Names of other environments do not exist for it.
    pub(super) fn find(&self, asker: Ipv4Addr, labels: &[String]) -> Found {
        let Some(own) = self.askers.get(&asker) else {
            return if labels.is_empty() { Found::Branch } else { Found::Nothing };
        };
        match labels {
            [] => Found::Branch,
            [last] if last == own.as_str() || last == "instances" => Found::Branch,
            [app, environment] if environment == own.as_str() => {
                match self.services.get(&format!("{app}.{environment}")) {
                    Some(address) => Found::Address(*address),
                    None => Found::Nothing,
                }
            }
            [instance, kind] if kind == "instances" => match self.instances.get(instance) {
                Some((environment, address)) if environment == own => Found::Address(*address),
                _ => Found::Nothing,
            },
            _ => Found::Nothing,
        }
    }
}
