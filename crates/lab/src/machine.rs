//! A machine's state on disk: its first process, or when it died.

use serde::{Deserialize, Serialize};

use crate::directory::{Lab, read, write};
use crate::failure::LabError;
use crate::process::Process;

/// What is known of a machine that was started once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    /// The first process of its pid namespace.
    pub(crate) init: Process,
}

/// A machine's first process, if it lives.
pub(crate) fn init(lab: &Lab, machine: &str) -> Option<Process> {
    let started: Started = read(&lab.machine(machine).join("state.json")).ok()?;
    Some(started.init).filter(|init| init.is_alive())
}

/// The same, where nothing can be done without it.
pub(crate) fn living(lab: &Lab, machine: &str) -> Result<Process, LabError> {
    init(lab, machine).ok_or_else(|| LabError::NotRunning(machine.to_owned()))
}

/// Keeps which process is a machine's first.
pub(crate) fn started(lab: &Lab, machine: &str, init: Process) -> Result<(), LabError> {
    write(&lab.machine(machine).join("state.json"), &Started { init })
}

/// The file whose presence keeps a role from being started again.
pub(crate) fn held(lab: &Lab, machine: &str, role: &str) -> std::path::PathBuf {
    lab.machine(machine).join(format!("{role}.held"))
}
