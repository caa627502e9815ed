//! Breaking machines and processes, and putting them back.
//!
//! A machine dies as by power loss. A process that is killed sends FIN within a millisecond, a dead
//! machine sends nothing: so it is made silent first, both ways and with all others of the same
//! call in one transaction; that moment counts. Then its processes are killed, and what was not on
//! its disk goes with its namespaces and cgroups.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use net::namespace::Namespace;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::directory::{Lab, Lock, remove};
use crate::failure::LabError;
use crate::machine;
use crate::network::break_links;
use crate::target::Target;
use crate::up::start_together;

/// Roles that are started again when they end, unless they are held.
const HELD: [&str; 3] = ["server", "etcd", "agent"];

/// When a kill took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// What died.
    pub killed: Vec<Target>,
    /// No packet of a killed machine passed after this: nanoseconds of CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
    /// The same moment on the wall clock.
    pub wall: Timestamp,
}

/// Kills machines and processes. Killed processes stay dead until [`restart`].
///
/// # Errors
/// They cannot be silenced; then nothing was killed. Or something survives.
pub fn kill(lab: &Lab, lock: &Lock, targets: &[Target]) -> Result<Silence, LabError> {
    let machines: BTreeSet<&str> = targets.iter().filter_map(whole).collect();
    if !machines.is_empty() {
        let names = machines.iter().map(|name| (*name).to_owned());
        break_links(lab, lock, |faults| faults.silent.extend(names))?;
    }
    let (wall, monotonic_ns) = (Timestamp::now(), monotonic_ns());
    let results: Vec<Result<(), LabError>> = std::thread::scope(|scope| {
        let kill = |name| scope.spawn(move || destroy(lab, name));
        let running: Vec<_> = machines.iter().copied().map(kill).collect();
        running.into_iter().map(|it| it.join().expect("destroying does not panic")).collect()
    });
    results.into_iter().collect::<Result<(), LabError>>()?;
    for target in targets {
        if let Target::Process { machine, role } = target {
            if HELD.contains(&role.as_str()) {
                let held = machine::held(lab, machine, role);
                File::create(&held).map_err(LabError::file("write", &held))?;
            }
            signal(lab, machine, role, Signal::KILL)?;
        }
    }
    Ok(Silence { killed: targets.to_vec(), monotonic_ns, wall })
}

/// The machine that is meant as a whole.
fn whole(target: &Target) -> Option<&str> {
    match target {
        Target::Machine { machine } => Some(machine.as_str()),
        Target::Process { .. } => None,
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).expect("the monotonic clock is not negative");
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

/// Kills everything on a machine and removes its cgroups; its namespaces go with its processes.
fn destroy(lab: &Lab, name: &str) -> Result<(), LabError> {
    if let Some(init) = machine::init(lab, name) {
        init.signal(Signal::KILL);
    }
    Group::of_machine(lab, name)?.destroy()
}

/// Sends a signal to the processes of a role; how many there were.
fn signal(lab: &Lab, machine: &str, role: &str, signal: Signal) -> Result<usize, LabError> {
    machine::living(lab, machine)?;
    let all = Group::of_machine(lab, machine)?.processes()?;
    let sent = all.into_iter().filter(|it| it.is_role(role) && it.signal(signal)).count();
    Ok(sent)
}

/// Stops machines and processes where they are; their memory and connections stay.
///
/// # Errors
/// A machine does not run.
pub fn freeze(lab: &Lab, _lock: &Lock, targets: &[Target]) -> Result<(), LabError> {
    set_frozen(lab, targets, true)
}

/// Lets them go on.
///
/// # Errors
/// A machine does not run.
pub fn thaw(lab: &Lab, _lock: &Lock, targets: &[Target]) -> Result<(), LabError> {
    set_frozen(lab, targets, false)
}

fn set_frozen(lab: &Lab, targets: &[Target], frozen: bool) -> Result<(), LabError> {
    let how = if frozen { Signal::STOP } else { Signal::CONT };
    for target in targets {
        match target {
            Target::Machine { machine } => {
                machine::living(lab, machine)?;
                Group::of_machine(lab, machine)?.freeze(frozen)?;
            }
            Target::Process { machine, role } => drop(signal(lab, machine, role, how)?),
        }
    }
    Ok(())
}

/// Starts what is dead, and what is alive again: machines after a power cycle, processes anew.
/// `exe` is the binary `freehold`.
///
/// # Errors
/// Something does not end or does not start.
pub fn restart(lab: &Lab, lock: &Lock, targets: &[Target], exe: &Path) -> Result<(), LabError> {
    let plan = lab.plan()?;
    let machines: Vec<Target> =
        targets.iter().filter(|target| whole(target).is_some()).cloned().collect();
    if !machines.is_empty() {
        kill(lab, lock, &machines)?;
    }
    for target in targets {
        if let Target::Process { machine, role } = target {
            remove(&machine::held(lab, machine, role))?;
            signal(lab, machine, role, Signal::KILL)?;
        }
    }
    let named = |target: &&Target| machines.contains(target);
    let names: BTreeSet<&str> = targets.iter().filter(named).map(Target::machine).collect();
    for (machine, role) in names.iter().flat_map(|it| HELD.map(|role| (it, role))) {
        remove(&machine::held(lab, machine, role))?;
    }
    if names.is_empty() {
        return Ok(());
    }
    break_links(lab, lock, |faults| faults.silent.retain(|it| !names.contains(it.as_str())))?;
    let namespace = Namespace::open(&lab.namespace())?;
    let machines: Vec<_> = names.into_iter().filter_map(|name| plan.machine(name)).collect();
    start_together(lab, &plan, &namespace, &machines, exe)
}
