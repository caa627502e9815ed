//! Running commands inside the lab: on a machine, or as a client on its network.
#![expect(unsafe_code, reason = "what a child does before it runs its program has no safe form")]

use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use net::namespace::Namespace;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use crate::cgroup::Group;
use crate::directory::Lab;
use crate::failure::LabError;
use crate::machine;

/// Runs a command on a machine and gives its exit code. The calling process moves into the
/// machine's cgroup and namespaces for good, so that it ends with the machine, and the command with
/// it; it must have one thread.
///
/// # Errors
/// The machine does not run, or the command cannot be started.
pub fn enter(lab: &Lab, name: &str, command: &[String]) -> Result<i32, LabError> {
    let environment = environment(lab)?;
    let init = machine::living(lab, name)?;
    let failed = LabError::system(format!("enter machine {name}"));
    let pid = Pid::from_raw(init.pid).ok_or_else(|| LabError::NotRunning(name.to_owned()))?;
    let held = pidfd_open(pid, PidfdFlags::empty()).map_err(&failed)?;
    if !init.is_alive() {
        return Err(LabError::NotRunning(name.to_owned()));
    }
    Group::of_machine(lab, name)?.settle()?;
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::NETWORK;
    rustix::thread::move_into_thread_name_spaces(held.as_fd(), all).map_err(&failed)?;
    let mut prepared = prepared(command, &environment);
    // SAFETY: one call to the kernel, which takes no lock and no memory.
    unsafe {
        prepared.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    let mut child = prepared
        .spawn()
        .map_err(|source| LabError::System { doing: format!("run {}", command[0]), source })?;
    ended(child.wait(), command)
}

/// Runs a command as an outside client: on the lab's network, with a machine's own files. Gives its
/// exit code. The command ends with the calling thread, however that ends.
///
/// # Errors
/// There is no such lab, or the command cannot be started.
pub fn run_outside(lab: &Lab, command: &[String]) -> Result<i32, LabError> {
    let environment = environment(lab)?;
    let namespace = Namespace::open(&lab.namespace())?;
    let network = namespace.as_fd().try_clone_to_owned();
    let network = network.map_err(|source| LabError::System {
        doing: "enter the network of the lab".to_owned(),
        source,
    })?;
    let own = rustix::process::getpid();
    let mut prepared = prepared(command, &environment);
    // SAFETY: three calls to the kernel, which take no lock and no memory. They are made in the
    // child itself: its parent must be the thread that waits for it, or it would end with another.
    unsafe {
        prepared.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have ended before that.
            if rustix::process::getppid() != Some(own) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(network.as_fd(), kind)?;
            Ok(())
        });
    }
    let child = prepared.spawn();
    let mut child = child
        .map_err(|source| LabError::System { doing: format!("run {}", command[0]), source })?;
    ended(child.wait(), command)
}

fn prepared(command: &[String], environment: &[(&str, String)]) -> Command {
    let mut prepared = Command::new(&command[0]);
    prepared.args(&command[1..]).envs(environment.iter().map(|(name, value)| (name, value)));
    prepared
}

fn ended(status: std::io::Result<ExitStatus>, command: &[String]) -> Result<i32, LabError> {
    let status = status
        .map_err(|source| LabError::System { doing: format!("wait for {}", command[0]), source })?;
    // As shells say it.
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// How the cluster is reached from inside the lab.
fn environment(lab: &Lab) -> Result<Vec<(&'static str, String)>, LabError> {
    Ok(lab.environment(&lab.plan()?.servers()))
}
