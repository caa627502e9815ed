//! What somebody means who names a part of the lab. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::Plan;

/// Something that can be killed, frozen or restarted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// A whole machine.
    Machine {
        /// Its name.
        machine: String,
    },
    /// The processes of one role on a machine, the rest of it goes on.
    Process {
        /// The machine's name.
        machine: String,
        /// The role's word: `server`, `agent`, `proxy`, or `etcd`.
        role: String,
    },
}

/// Roles whose processes may be named as `MACHINE/ROLE`.
const WORDS: [&str; 4] = ["server", "agent", "proxy", "etcd"];

/// Why nothing is meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No such thing.
    #[error(
        "{name:?} is no machine, hypervisor, rack, server or MACHINE/ROLE here; there are {known}"
    )]
    Unknown {
        /// What was typed.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Target {
    /// The machine it is or runs on.
    #[must_use]
    pub fn machine(&self) -> &str {
        match self {
            Self::Machine { machine } | Self::Process { machine, .. } => machine,
        }
    }

    /// Everything that `name` stands for: a machine, all machines of a hypervisor or rack, a server
    /// or etcd member that shares its machine, a role on a machine, or `all`.
    ///
    /// # Errors
    /// Nothing has that name.
    pub fn find(plan: &Plan, name: &str) -> Result<Vec<Self>, TargetError> {
        let whole = |machine: &crate::Machine| Self::Machine { machine: machine.name.clone() };
        let on = |place: &Option<String>| place.as_deref() == Some(name);
        let machines: Vec<Self> = plan
            .machines
            .iter()
            .filter(|it| name == "all" || it.name == name || on(&it.hypervisor) || on(&it.rack))
            .map(whole)
            .collect();
        if !machines.is_empty() {
            return Ok(machines);
        }
        match Self::process(plan, name) {
            Some(process) => Ok(vec![process]),
            None => {
                let known = known(plan).into_iter().collect::<Vec<_>>().join(", ");
                Err(TargetError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    /// Everything that several names stand for, each once.
    ///
    /// # Errors
    /// Nothing has one of the names.
    pub fn all(plan: &Plan, names: &[impl AsRef<str>]) -> Result<Vec<Self>, TargetError> {
        let mut all = BTreeSet::new();
        for name in names {
            all.extend(Self::find(plan, name.as_ref())?);
        }
        Ok(all.into_iter().collect())
    }

    fn process(plan: &Plan, name: &str) -> Option<Self> {
        let of = |machine: &crate::Machine, role: &str| Self::Process {
            machine: machine.name.clone(),
            role: role.to_owned(),
        };
        if let Some((machine, role)) = name.split_once('/') {
            return WORDS.contains(&role).then(|| Some(of(plan.machine(machine)?, role)))?;
        }
        plan.machines.iter().find_map(|machine| {
            let member = machine.members.iter().find(|member| member.name == name)?;
            Some(of(machine, member.role.word()))
        })
    }

    /// The machines that a comma-separated list of names means, for cutting links.
    ///
    /// # Errors
    /// Nothing has one of the names.
    pub fn machines(plan: &Plan, names: &str) -> Result<BTreeSet<String>, TargetError> {
        let mut found = BTreeSet::new();
        for name in names.split(',') {
            found.extend(Self::find(plan, name)?.iter().map(|it| it.machine().to_owned()));
        }
        Ok(found)
    }
}

fn known(plan: &Plan) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for machine in &plan.machines {
        known.insert(machine.name.clone());
        known.extend(machine.hypervisor.clone());
        known.extend(machine.rack.clone());
        known.extend(machine.members.iter().map(|member| member.name.clone()));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shape;

    fn plan() -> Plan {
        let shape = Shape { hosts: 4, hypervisors: 2, racks: 1, ..Shape::default() };
        Plan::of(&Shape { servers: 3, ..shape }).unwrap()
    }

    #[test]
    fn names_mean_machines_or_processes() {
        for (name, meant) in [
            ("host-2", vec!["host-2"]),
            ("hv-2", vec!["host-2", "host-4"]),
            ("rack-1", vec!["host-1", "host-2", "host-3", "host-4"]),
            ("server-1", vec!["host-1/server"]),
            ("etcd-2", vec!["host-2/etcd"]),
            ("host-3/agent", vec!["host-3/agent"]),
        ] {
            let found = Target::find(&plan(), name).unwrap();
            let text: Vec<String> = found
                .iter()
                .map(|it| match it {
                    Target::Machine { machine } => machine.clone(),
                    Target::Process { machine, role } => format!("{machine}/{role}"),
                })
                .collect();
            assert_eq!(text, meant, "{name}");
        }
        for bad in ["", "host-9", "hv-9", "server-4", "host-1/init", "host-9/agent", "/agent"] {
            let error = Target::find(&plan(), bad).unwrap_err();
            assert!(error.to_string().contains("host-1, host-2"), "{error}");
        }
    }

    #[test]
    fn lists_are_united() {
        let machines = Target::machines(&plan(), "hv-1,host-1,host-2").unwrap();
        assert_eq!(machines.into_iter().collect::<Vec<_>>(), ["host-1", "host-2", "host-3"]);
    }
}
