//! Bringing a lab up, and starting its machines.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use net::namespace::Namespace;
use rustix::process::Signal;

use crate::certificates;
use crate::cgroup::Group;
use crate::directory::{Lab, Lock, make};
use crate::door::{self, Door};
use crate::down::down;
use crate::failure::LabError;
use crate::machine;
use crate::network;
use crate::plan::{Machine, Plan, is_name};
use crate::target::TargetError;

impl Lab {
    /// The door from this machine, opened where it is closed; `exe` is the binary `freehold`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn door(&self, exe: &Path) -> Result<Door, LabError> {
        door::ensure(self, exe, &self.hidden("lab-door", None))
    }

    /// The arguments of one of the binary's hidden roles for this lab.
    pub(crate) fn hidden(&self, role: &str, machine: Option<&str>) -> Vec<String> {
        let base = self.directory().parent().unwrap_or(self.directory());
        let name = self.directory().file_name().unwrap_or_default();
        let mut words = vec![role.to_owned()];
        words.extend(["--base".to_owned(), base.to_string_lossy().into_owned()]);
        words.extend(["--lab".to_owned(), name.to_string_lossy().into_owned()]);
        words.extend(machine.into_iter().flat_map(|it| ["--machine".to_owned(), it.to_owned()]));
        words
    }
}

/// Makes a lab and starts all its machines; `exe` is the binary `freehold`. What was started is
/// taken down again when something fails.
///
/// # Errors
/// There is one already, or something cannot be made.
pub fn up(lab: &Lab, lock: &Lock, plan: &Plan, exe: &Path) -> Result<Door, LabError> {
    if lab.exists() {
        let (doing, directory) = ("make", lab.directory().to_owned());
        return Err(LabError::Directory { doing, directory, why: "there is one already" });
    }
    // Of one whose plan was never written something may be left.
    down(lab, lock)?;
    start_all(lab, plan, exe).inspect_err(|_| {
        if let Err(error) = down(lab, lock) {
            eprintln!("taking down what was started: {error}");
        }
    })
}

fn start_all(lab: &Lab, plan: &Plan, exe: &Path) -> Result<Door, LabError> {
    make(lab.directory())?;
    lab.save_plan(plan)?;
    let namespace = network::ensure(lab, plan)?;
    for machine in &plan.machines {
        start(lab, &namespace, machine, exe)?;
    }
    lab.door(exe)
}

/// Starts a machine that does not run.
pub(crate) fn start(
    lab: &Lab,
    namespace: &Namespace,
    machine: &Machine,
    exe: &Path,
) -> Result<(), LabError> {
    let own = lab.machine(&machine.name);
    make(&own.join("disk"))?;
    certificates::issue(lab, machine)?;
    let path = own.join("init.log");
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(LabError::file("open", &path))?;
    let failed = |source| LabError::System { doing: format!("start {}", machine.name), source };
    let status = Command::new(exe)
        .arg0("freehold")
        .args(lab.hidden("lab-init", Some(&machine.name)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .process_group(0)
        .status()
        .map_err(failed)?;
    let init = machine::init(lab, &machine.name).filter(|_| status.success());
    let Some(init) = init else {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let why = log.lines().rev().take(3).collect::<Vec<_>>().join("; ");
        return Err(LabError::NotStarted { machine: machine.name.clone(), why });
    };
    network::connect(namespace, machine, init.pid)
}

/// Moves a machine to another hypervisor while it runs: its agent is started again and tells the
/// cluster. Containers go on.
///
/// # Errors
/// There is no such machine, or the name cannot be a hypervisor's.
pub fn migrate(lab: &Lab, _lock: &Lock, name: &str, hypervisor: &str) -> Result<Machine, LabError> {
    let mut plan = lab.plan()?;
    let unknown = |name: &str| TargetError::Unknown {
        name: name.to_owned(),
        known: "machines, and names of a-z, 0-9 and -".to_owned(),
    };
    if !is_name(hypervisor) {
        return Err(unknown(hypervisor).into());
    }
    let moved = plan.migrate(name, hypervisor).cloned().ok_or_else(|| unknown(name))?;
    lab.save_plan(&plan)?;
    if machine::init(lab, name).is_some() {
        for process in Group::of_machine(lab, name)?.processes()? {
            if process.is_role("agent") {
                process.signal(Signal::TERM);
            }
        }
    }
    Ok(moved)
}
