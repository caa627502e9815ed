//! Bringing a lab up, and starting its machines.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clock::Offset;
use net::namespace::Namespace;
use rustix::process::Signal;

use crate::certificates;
use crate::cgroup::Group;
use crate::delay;
use crate::directory::{Lab, Lock, make};
use crate::door::{self, Door};
use crate::down::down;
use crate::failure::LabError;
use crate::machine;
use crate::network;
use crate::plan::{Machine, Plan, Role, is_name};
use crate::role;
use crate::target::TargetError;

impl Lab {
    /// The door from this machine, opened where it is closed; `exe` is the binary `freehold`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn door(&self, exe: &Path) -> Result<Door, LabError> {
        door::ensure(self, exe, &self.hidden("lab-door", None))
    }

    /// The options of the binary's commands that mean this lab.
    pub(crate) fn options(&self) -> [String; 4] {
        let base = self.directory().parent().unwrap_or(self.directory());
        let name = self.directory().file_name().unwrap_or_default();
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        ["--base".to_owned(), text(base.as_os_str()), "--lab".to_owned(), text(name)]
    }

    /// The arguments of one of the binary's hidden roles for this lab.
    pub(crate) fn hidden(&self, role: &str, machine: Option<&str>) -> Vec<String> {
        let mut words = vec![role.to_owned()];
        words.extend(self.options());
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
    if !plan.lone_server() {
        begin(lab, plan)?;
    }
    let door = lab.door(exe)?;
    let machines: Vec<&Machine> = plan.machines.iter().collect();
    start_together(lab, plan, &namespace, &machines, exe)?;
    Ok(door)
}

/// Where the first of several servers puts what clients need.
fn begin(lab: &Lab, plan: &Plan) -> Result<(), LabError> {
    let Some(first) = plan.with_role(Role::Server).next() else { return Ok(()) };
    let data = role::data(lab, first, Role::Server);
    for (name, at) in [("admin.token", lab.admin_token()), ("ca.pem", lab.authorities())] {
        std::os::unix::fs::symlink(data.join(name), &at).map_err(LabError::file("link", &at))?;
    }
    etcd_program().map(drop)
}

/// The etcd program of this machine.
fn etcd_program() -> Result<PathBuf, LabError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join("etcd")).find(|it| it.is_file());
    found.ok_or(LabError::NoEtcd)
}

/// Starts machines that do not run, side by side.
pub(crate) fn start_together(
    lab: &Lab,
    plan: &Plan,
    namespace: &Namespace,
    machines: &[&Machine],
    exe: &Path,
) -> Result<(), LabError> {
    let results: Vec<Result<(), LabError>> = std::thread::scope(|scope| {
        let start = |machine| scope.spawn(move || start(lab, plan, namespace, machine, exe));
        let running: Vec<_> = machines.iter().copied().map(start).collect();
        running.into_iter().map(|it| it.join().expect("starting does not panic")).collect()
    });
    results.into_iter().collect()
}

/// Starts a machine that does not run.
fn start(
    lab: &Lab,
    plan: &Plan,
    namespace: &Namespace,
    machine: &Machine,
    exe: &Path,
) -> Result<(), LabError> {
    let own = lab.machine(&machine.name);
    make(&own.join("disk"))?;
    certificates::issue(lab, plan, machine)?;
    if machine.member(Role::Etcd).is_some() {
        let held = machine::held(lab, &machine.name, Role::Etcd.word());
        let (at, text) =
            (role::etcd(lab, &machine.name), role::etcd_script(&etcd_program()?, &held));
        std::fs::write(&at, text).map_err(LabError::file("write", &at))?;
        std::fs::set_permissions(&at, Permissions::from_mode(0o755))
            .map_err(LabError::file("close", &at))?;
    }
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
    network::connect(namespace, machine, init.pid)?;
    delay::started(lab, &machine.name);
    Ok(())
}

/// Moves a machine to another hypervisor while it runs: its agent is started again and tells the
/// cluster. Containers go on.
///
/// # Errors
/// There is no such machine, or the name cannot be a hypervisor's.
pub fn migrate(lab: &Lab, _lock: &Lock, name: &str, hypervisor: &str) -> Result<Machine, LabError> {
    let mut plan = lab.plan()?;
    if !is_name(hypervisor) {
        return Err(unknown(&plan, hypervisor).into());
    }
    let moved = plan.migrate(name, hypervisor).cloned();
    let moved = moved.ok_or_else(|| unknown(&plan, name))?;
    lab.save_plan(&plan)?;
    again(lab, name, &[Role::Agent])?;
    Ok(moved)
}

/// Sets a machine's clock, as Freehold's processes on it see it: they are started again. Containers
/// go on, and so does etcd, whose clock is right.
///
/// # Errors
/// There is no such machine.
pub fn set_clock(lab: &Lab, _lock: &Lock, name: &str, offset: Offset) -> Result<Machine, LabError> {
    let mut plan = lab.plan()?;
    let set = plan.set_clock(name, offset).cloned();
    let set = set.ok_or_else(|| unknown(&plan, name))?;
    lab.save_plan(&plan)?;
    again(lab, name, &[Role::Server, Role::Agent])?;
    Ok(set)
}

fn unknown(plan: &Plan, name: &str) -> TargetError {
    let known = plan.machines.iter().map(|machine| machine.name.as_str());
    let known = known.collect::<Vec<_>>().join(", ") + "; names are of a-z, 0-9 and -";
    TargetError::Unknown { name: name.to_owned(), known }
}

/// Ends roles of a machine, whose init starts them again.
fn again(lab: &Lab, name: &str, roles: &[Role]) -> Result<(), LabError> {
    if machine::init(lab, name).is_some() {
        for process in Group::of_machine(lab, name)?.processes()? {
            if roles.iter().any(|role| process.is_role(role.word())) {
                process.signal(Signal::TERM);
            }
        }
    }
    Ok(())
}
