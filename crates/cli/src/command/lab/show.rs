//! What labs look like for people. Pure.

use ::lab::{Door, Lab, MachineStatus, State, Target};
use serde::Serialize;

use crate::output::{Look, Table, dash};
use crate::role::up::quoted;

/// How a target is called.
pub(super) trait Named {
    fn name(&self) -> String;
}

impl Named for Target {
    fn name(&self) -> String {
        match self {
            Self::Machine { machine } => machine.clone(),
            Self::Process { machine, role } => format!("{machine}/{role}"),
        }
    }
}

/// A machine of a lab, and which of its members lead.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) machine: MachineStatus,
    pub(super) leads: Vec<String>,
}

pub(super) fn machines(rows: &[Row], look: &Look) -> String {
    let headings =
        ["MACHINE", "STATE", "RUNNING", "STOPPED", "LEADS", "DOMAIN", "ADDRESS", "PROCESSES"];
    Table::of(&headings, rows, |row| {
        let it = &row.machine;
        vec![
            it.machine.clone(),
            state(it.state).to_owned(),
            dash(it.running.join(",").as_str()),
            dash(it.stopped.join(",").as_str()),
            dash(row.leads.join(",").as_str()),
            dash(it.domain.as_str()),
            it.address.to_string(),
            it.processes.to_string(),
        ]
    })
    .spare(&["PROCESSES", "ADDRESS"])
    .render(look.width)
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Frozen => "frozen",
        State::Dead => "dead",
    }
}

/// The lines that a shell takes to reach the cluster through the door.
pub(super) fn exports(lab: &Lab, door: &Door) -> String {
    let servers: Vec<String> = door.addresses.iter().map(ToString::to_string).collect();
    let line = |(name, value): (&str, String)| format!("export {name}={}\n", quoted(&value));
    lab.environment(&servers).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn machines_for_people() {
        let machine = |name: &str, state, stopped: &[&str], leads: &[&str]| Row {
            machine: MachineStatus {
                machine: name.into(),
                state,
                running: vec![format!("{name}/agent")],
                stopped: stopped.iter().map(|it| (*it).to_owned()).collect(),
                domain: "rack-1/hv-1".into(),
                address: [10, 64, 0, 11].into(),
                processes: 12,
            },
            leads: leads.iter().map(|it| (*it).to_owned()).collect(),
        };
        let all = [
            machine("host-1", State::Running, &["host-1/server"], &[]),
            machine("host-2", State::Frozen, &[], &["server-2", "etcd-2"]),
        ];
        let look = Look { width: None, now: Timestamp(0) };
        insta::assert_snapshot!(machines(&all, &look));
    }
}
