//! What a lab looks like now. Looks only.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::cgroup::Group;
use crate::directory::Lab;
use crate::failure::LabError;
use crate::machine;

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    Running,
    /// Its processes are stopped where they are.
    Frozen,
    /// It does not.
    Dead,
}

/// A machine as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineStatus {
    /// Its name.
    pub machine: String,
    /// Whether it runs.
    pub state: State,
    /// Members whose process runs.
    pub running: Vec<String>,
    /// Members whose process does not.
    pub stopped: Vec<String>,
    /// Its failure domain.
    pub domain: String,
    /// Its address inside the lab.
    pub address: Ipv4Addr,
    /// Its processes, those of containers too.
    pub processes: usize,
}

/// All machines, in the plan's order.
///
/// # Errors
/// There is no such lab.
pub fn status(lab: &Lab) -> Result<Vec<MachineStatus>, LabError> {
    let mut all = Vec::new();
    for machine in lab.plan()?.machines {
        let alive = machine::init(lab, &machine.name).is_some();
        let group = Group::of_machine(lab, &machine.name)?;
        let processes = if alive { group.processes()? } else { Vec::new() };
        let state = match (alive, group.is_frozen()) {
            (false, _) => State::Dead,
            (true, true) => State::Frozen,
            (true, false) => State::Running,
        };
        let (running, stopped): (Vec<_>, Vec<_>) = machine
            .members
            .iter()
            .partition(|member| processes.iter().any(|it| it.is_role(member.role.word())));
        let names = |members: Vec<&crate::Member>| -> Vec<String> {
            members
                .into_iter()
                .map(|member| format!("{}/{}", machine.name, member.role.word()))
                .collect()
        };
        all.push(MachineStatus {
            running: names(running),
            stopped: names(stopped),
            state,
            domain: machine.domain().to_string(),
            address: machine.address,
            processes: processes.len(),
            machine: machine.name,
        });
    }
    Ok(all)
}
