//! What a lab consists of: machines in hypervisors and racks, and the roles they run. Pure.

use std::net::Ipv4Addr;

use api::host::DomainPath;
use api::id::HostId;
use clock::Offset;
use ipnet::Ipv4Net;
use net::overlay::Mode;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most machines of a lab: their addresses are one byte, and a machine's processes take about
/// 50 MiB.
const MAX_MACHINES: usize = 200;

/// The most servers: each has a member of etcd, which takes no more.
const MAX_SERVERS: usize = 5;

/// Where machines' addresses begin in the lab's range.
const FIRST_ADDRESS: u32 = 11;

/// The port of API, registry and agents' streams.
pub(crate) const API_PORT: u16 = 7443;

/// Where a server's etcd serves clients, since nothing else is said to the server.
pub(crate) const ETCD_PORT: u16 = 2379;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Servers of the control plane.
    pub servers: usize,
    /// Hosts.
    pub hosts: usize,
    /// Hypervisors that the hosts are spread over; none when 0.
    pub hypervisors: usize,
    /// Racks that the hypervisors are spread over; none when 0.
    pub racks: usize,
    /// Servers on machines of their own, not on hosts.
    pub apart: bool,
    /// Machines alone, without anything of Freehold on them.
    pub bare: bool,
    /// What each machine has.
    pub limits: Limits,
    /// How packets go between hosts; the agents' own choice when none.
    pub overlay: Option<Mode>,
    /// The machines' addresses, a /24; seen inside the lab only.
    pub range: Ipv4Net,
}

impl Default for Shape {
    /// One server, three hosts.
    fn default() -> Self {
        Self {
            servers: 1,
            hosts: 3,
            hypervisors: 0,
            racks: 0,
            apart: false,
            bare: false,
            limits: Limits::default(),
            overlay: None,
            range: Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 24),
        }
    }
}

/// The capacity of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors; all of the machine that carries the lab when none.
    pub cpus: Option<u32>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpus: None, memory_bytes: 2 << 30, pids: 8192 }
    }
}

/// A lab as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The machines' addresses; the first is the outside client's.
    pub range: Ipv4Net,
    /// Where instances' addresses come from.
    pub instances: Ipv4Net,
    /// Where service addresses come from.
    pub services: Ipv4Net,
    /// What each machine has.
    pub limits: Limits,
    /// How packets go between hosts, by the word that agents take; their own choice when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
    /// All machines.
    pub machines: Vec<Machine>,
}

/// A machine of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name, also its host's.
    pub name: String,
    /// Its address in the lab.
    pub address: Ipv4Addr,
    /// What carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// Where that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// How far its clock is off, as Freehold's processes on it see it.
    #[serde(default)]
    pub clock_ms: i64,
    /// What runs on it.
    pub members: Vec<Member>,
}

/// One role on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name by which it is killed and restarted: `server-1`, `etcd-1`, or the host's.
    pub name: String,
    /// What it is.
    pub role: Role,
}

/// What may run on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A server of the control plane.
    Server,
    /// A server's member of etcd, which the server starts.
    Etcd,
    /// A host's agent.
    Agent,
}

impl Role {
    /// Its word on the command line of `freehold`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Etcd => "etcd",
            Self::Agent => "agent",
        }
    }
}

/// Why a shape is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Nothing to run.
    #[error("a lab has at least one server and one host")]
    Empty,
    /// Servers without a machine to stand on, or more than etcd has members.
    #[error("{servers} servers on {hosts} hosts: a lab has {MAX_SERVERS} at most, each on its own")]
    Servers {
        /// Servers.
        servers: usize,
        /// Hosts.
        hosts: usize,
    },
    /// Too large.
    #[error("{0} machines: a lab has {MAX_MACHINES} at most")]
    TooMany(usize),
    /// Nothing to spread over.
    #[error("{0}: there would be empty ones")]
    Spread(String),
    /// Addresses.
    #[error(
        "{0} is no range for machines: a /24 that is private and apart from 10.127.0.0/16 and \
             10.128.0.0/16"
    )]
    Range(Ipv4Net),
}

impl Plan {
    /// Lays a lab out: hosts go round the hypervisors, hypervisors round the racks; servers stand
    /// on the first hosts, each on another hypervisor as far as there are as many.
    ///
    /// # Errors
    /// What was asked for cannot be.
    pub fn of(shape: &Shape) -> Result<Self, PlanError> {
        let instances: Ipv4Net = "10.128.0.0/16".parse().expect("it is a range");
        let services: Ipv4Net = "10.127.0.0/16".parse().expect("it is a range");
        check(shape, [instances, services])?;
        let mut machines: Vec<Machine> = Vec::new();
        let mut add = |name: String, hypervisor: Option<String>, rack, members| {
            let number = FIRST_ADDRESS + u32::try_from(machines.len()).expect("few machines");
            let address = Ipv4Addr::from(u32::from(shape.range.addr()) + number);
            machines.push(Machine { name, address, hypervisor, rack, clock_ms: 0, members });
        };
        for index in 0..if shape.apart { shape.servers } else { 0 } {
            add(format!("server-{}", index + 1), None, None, server(shape, index));
        }
        for index in 0..shape.hosts {
            let name = format!("host-{}", index + 1);
            let mut members = Vec::new();
            if !shape.apart && index < shape.servers {
                members.extend(server(shape, index));
            }
            if !shape.bare {
                members.push(Member { name: name.clone(), role: Role::Agent });
            }
            let on = index.checked_rem(shape.hypervisors);
            let rack = on.and_then(|on| on.checked_rem(shape.racks));
            let word = |what: &str, at: usize| format!("{what}-{}", at + 1);
            let (on, rack) = (on.map(|at| word("hv", at)), rack.map(|at| word("rack", at)));
            add(name, on, rack, members);
        }
        let overlay = shape.overlay.map(|mode| mode.to_string());
        let (range, limits) = (shape.range, shape.limits);
        Ok(Self { range, instances, services, limits, overlay, machines })
    }

    /// The machine of that name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// Machines with a member of that role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Machine> {
        let has = move |machine: &&Machine| machine.member(role).is_some();
        self.machines.iter().filter(has)
    }

    /// Where servers answer inside the lab.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        self.with_role(Role::Server).map(|it| format!("{}:{API_PORT}", it.address)).collect()
    }

    /// Whether there is one server, which keeps its state in SQLite.
    pub(crate) fn lone_server(&self) -> bool {
        self.with_role(Role::Server).count() == 1
    }

    /// The address of the outside client: the bridge's own.
    #[must_use]
    pub fn outside(&self) -> Ipv4Net {
        let address = Ipv4Addr::from(u32::from(self.range.addr()) + 1);
        Ipv4Net::new(address, self.range.prefix_len()).expect("the prefix is a range's")
    }

    /// Sets how far a machine's clock is off.
    pub fn set_clock(&mut self, machine: &str, offset: Offset) -> Option<&Machine> {
        let set = self.machines.iter_mut().find(|it| it.name == machine)?;
        set.clock_ms = offset.0;
        Some(set)
    }

    /// Moves a machine to another hypervisor, which may be a new one; its rack is that of the
    /// hypervisor's other machines, if there are any.
    pub fn migrate(&mut self, machine: &str, hypervisor: &str) -> Option<&Machine> {
        let on = |it: &&Machine| it.hypervisor.as_deref() == Some(hypervisor);
        let rack = match self.machines.iter().find(on) {
            Some(other) => other.rack.clone(),
            None => None,
        };
        let moved = self.machines.iter_mut().find(|it| it.name == machine)?;
        moved.hypervisor = Some(hypervisor.to_owned());
        moved.rack = rack;
        Some(moved)
    }
}

/// What a server is: alone it keeps its state in SQLite, with others in etcd.
fn server(shape: &Shape, index: usize) -> Vec<Member> {
    let of = |role: Role| Member { name: format!("{}-{}", role.word(), index + 1), role };
    match shape {
        Shape { bare: true, .. } => Vec::new(),
        Shape { servers: 1, .. } => vec![of(Role::Server)],
        _ => vec![of(Role::Server), of(Role::Etcd)],
    }
}

impl Machine {
    /// Its member of a role.
    #[must_use]
    pub fn member(&self, role: Role) -> Option<&Member> {
        self.members.iter().find(|member| member.role == role)
    }

    /// Its failure domain.
    #[must_use]
    pub fn domain(&self) -> DomainPath {
        let levels = [self.rack.as_deref(), self.hypervisor.as_deref()];
        let text = levels.into_iter().flatten().collect::<Vec<_>>().join("/");
        text.parse().expect("names in a plan are checked")
    }

    /// The number in the names of its links: the last byte of its address.
    pub(crate) fn number(&self) -> u8 {
        self.address.octets()[3]
    }

    /// Its port on the lab's bridge.
    #[must_use]
    pub fn port(&self) -> String {
        format!("port{}", self.number())
    }

    /// The hardware address of its only link.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let [a, b, c, d] = self.address.octets();
        [0x0a, 0xf4, a, b, c, d]
    }
}

/// Whether a name may be a hypervisor's.
pub(crate) fn is_name(text: &str) -> bool {
    HostId::new(text).is_ok()
}

fn check(shape: &Shape, others: [Ipv4Net; 2]) -> Result<(), PlanError> {
    if shape.servers == 0 || shape.hosts == 0 {
        return Err(PlanError::Empty);
    }
    if shape.servers > MAX_SERVERS || (!shape.apart && shape.servers > shape.hosts) {
        return Err(PlanError::Servers { servers: shape.servers, hosts: shape.hosts });
    }
    let machines = shape.hosts + if shape.apart { shape.servers } else { 0 };
    if machines > MAX_MACHINES {
        return Err(PlanError::TooMany(machines));
    }
    if shape.hypervisors > shape.hosts {
        let text = format!("{} hypervisors for {} hosts", shape.hypervisors, shape.hosts);
        return Err(PlanError::Spread(text));
    }
    if shape.racks > shape.hypervisors {
        let text = format!("{} racks for {} hypervisors", shape.racks, shape.hypervisors);
        return Err(PlanError::Spread(text));
    }
    let range = shape.range;
    let clash = others.iter().any(|other| other.contains(&range));
    if range.prefix_len() != 24 || range.trunc() != range || !range.addr().is_private() || clash {
        return Err(PlanError::Range(range));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn shape(hosts: usize, hypervisors: usize, racks: usize) -> Shape {
        Shape { hosts, hypervisors, racks, ..Shape::default() }
    }

    #[test]
    fn hosts_go_round_hypervisors_and_those_round_racks() {
        let plan = Plan::of(&shape(6, 3, 2)).unwrap();
        let domains: Vec<String> =
            plan.machines.iter().map(|machine| machine.domain().to_string()).collect();
        assert_eq!(domains[..3], ["rack-1/hv-1", "rack-2/hv-2", "rack-1/hv-3"]);
        assert_eq!(domains[3..], domains[..3]);
        assert_eq!(plan.servers(), ["10.64.0.11:7443"]);
        assert_eq!(plan.outside().to_string(), "10.64.0.1/24");
    }

    #[test]
    fn servers_apart_have_machines_of_their_own() {
        let plan = Plan::of(&Shape { apart: true, ..shape(2, 0, 0) }).unwrap();
        let names: Vec<&str> = plan.machines.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["server-1", "host-1", "host-2"]);
        assert_eq!(plan.machines[1].domain().levels().len(), 0);
    }

    #[test]
    fn servers_stand_on_different_hypervisors_each_with_its_etcd() {
        let plan = Plan::of(&Shape { servers: 3, ..shape(6, 3, 2) }).unwrap();
        let first: Vec<String> =
            plan.machines[0].members.iter().map(|it| it.name.clone()).collect();
        assert_eq!(first, ["server-1", "etcd-1", "host-1"]);
        let on: Vec<&str> =
            plan.with_role(Role::Server).filter_map(|it| it.hypervisor.as_deref()).collect();
        assert_eq!(on, ["hv-1", "hv-2", "hv-3"]);
        assert_eq!(plan.servers().len(), 3);
        let bare = Plan::of(&Shape { bare: true, ..shape(4, 2, 0) }).unwrap();
        assert!(bare.machines.iter().all(|machine| machine.members.is_empty()));
    }

    #[test]
    fn a_machine_that_moves_stands_in_the_rack_of_its_hypervisor() {
        let mut plan = Plan::of(&shape(4, 2, 2)).unwrap();
        let moved = plan.migrate("host-1", "hv-2").unwrap();
        assert_eq!(moved.domain().to_string(), "rack-2/hv-2");
        let moved = plan.migrate("host-1", "hv-9").unwrap();
        assert_eq!(moved.domain().to_string(), "hv-9");
        assert!(plan.migrate("nobody", "hv-1").is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            shape(0, 0, 0),
            shape(1, 2, 0),
            shape(4, 2, 3),
            shape(4, 0, 1),
            shape(201, 0, 0),
            Shape { servers: 0, ..shape(1, 0, 0) },
            Shape { servers: 3, ..shape(2, 0, 0) },
            Shape { servers: 6, ..shape(6, 0, 0) },
            Shape { range: "10.128.3.0/24".parse().unwrap(), ..shape(1, 0, 0) },
            Shape { range: "8.8.8.0/24".parse().unwrap(), ..shape(1, 0, 0) },
            Shape { range: "10.64.0.0/16".parse().unwrap(), ..shape(1, 0, 0) },
        ] {
            assert!(Plan::of(&bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn machines_differ_in_all_that_names_them(
            hosts in 1_usize..=180, hypervisors in 0_usize..=180, apart: bool,
        ) {
            let Ok(plan) = Plan::of(&Shape { apart, ..shape(hosts, hypervisors, 0) }) else {
                prop_assert!(hypervisors > hosts);
                return Ok(());
            };
            let mut seen = std::collections::BTreeSet::new();
            for machine in &plan.machines {
                prop_assert!(seen.insert(machine.name.clone()));
                prop_assert!(seen.insert(machine.port()));
                prop_assert!(machine.port().len() <= 15);
                prop_assert!(plan.range.contains(&machine.address));
            }
            let used: std::collections::BTreeSet<_> =
                plan.machines.iter().filter_map(|it| it.hypervisor.clone()).collect();
            prop_assert_eq!(used.len(), hypervisors);
        }
    }
}
