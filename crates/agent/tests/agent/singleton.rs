//! Singletons: a container that runs under a lease only, whatever stands still.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::status::{ExitCause, HostStatus, InstanceState};
use rustix::process::{Pid, Signal, kill_process};

use super::world::{World, possible};

const ONLY: &str = "singleton = true\n[process]\ncommand = [\"/bin/sleep\", \"100000\"]\n";

/// How long anything may take before a test gives up: far above what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn pid(status: &HostStatus) -> u32 {
    status.instances[0].pid.unwrap()
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// What a process was started at, so that a pid that is used again is told apart.
fn begun(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split(' ').collect();
    // Field 3 is the state, 22 the time (proc_pid_stat(5)); a zombie is gone.
    let alive = !matches!(fields[1], "Z" | "X");
    alive.then(|| fields[20].to_owned())
}

/// Waits until a process is gone; gives how long that took.
async fn gone(pid: u32) -> Duration {
    let (since, was) = (Instant::now(), begun(pid));
    while was.is_some() && begun(pid) == was {
        assert!(since.elapsed() < PATIENCE, "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    since.elapsed()
}

/// An agent whose singleton runs.
async fn running(slug: &str) -> (World, HostStatus) {
    let mut world = World::new(slug);
    world.start_agent();
    let mut entry = world.entry("only-staging-1", "only", "staging", 2);
    entry.epoch = 7;
    let workload = world.workload("only", "staging", ONLY);
    let generation = world.assign(vec![entry], vec![workload]);
    let status = world.healthy(generation, 1).await;
    (world, status)
}

fn restarted(status: &HostStatus, times: u32) -> bool {
    let instance = &status.instances[0];
    instance.restarts == times && instance.state == InstanceState::Healthy
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_its_deadline_and_starts_again_when_leases_are_granted_again() {
    if !possible() {
        return;
    }
    let (mut world, first) = running("only").await;
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", pid(&first))).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", children.trim())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.split('\0').any(|v| v == "FREEHOLD_EPOCH=7"), "{environment}");

    // An agent that dies leaves it alone, and the next one renews before it is over.
    world.end_agent(Signal::KILL).await;
    world.start_agent();
    world.reports(|status| status.instances.first().is_some_and(|i| i.pid.is_some())).await;
    tokio::time::sleep(api::lease::LEASE.duration() * 2).await;
    assert!(begun(pid(&first)).is_some(), "it lives longer than any lease\n{}", world.agent_log());

    world.server.grants(false);
    println!("no grants: gone after {:?}", gone(pid(&first)).await);
    let waiting = world.reports(|status| status.instances[0].state == InstanceState::Waiting).await;
    let exit = waiting.instances[0].last_exit.clone().unwrap();
    assert_eq!(exit.cause, ExitCause::Deadline);
    assert_eq!(exit.cause.to_string(), "singleton deadline");
    let message = &waiting.instances[0].message;
    assert!(message.contains("waits for its lease") || message.contains("died"), "{message}");
    world.server.grants(true);
    let second = world.reports(|status| restarted(status, 1)).await;
    assert_ne!(pid(&second), pid(&first));
    world.end_agent(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_its_agent_stands_still() {
    if !possible() {
        return;
    }
    let (mut world, first) = running("still").await;
    world.signal_agent(Signal::STOP);
    println!("agent frozen: gone after {:?}", gone(pid(&first)).await);
    world.signal_agent(Signal::CONT);
    let second = world.reports(|status| restarted(status, 1)).await;
    assert_eq!(second.instances[0].last_exit.clone().unwrap().cause, ExitCause::Deadline);
    world.end_agent(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_the_whole_host_stands_still() {
    if !possible() {
        return;
    }
    let (mut world, first) = running("stiff").await;
    let shim = parent(pid(&first));
    let inside = fs::read_to_string(format!("/proc/{0}/task/{0}/children", pid(&first))).unwrap();
    world.signal_agent(Signal::STOP);
    for one in [shim, pid(&first), inside.trim().parse().unwrap()] {
        kill_process(process(one), Signal::STOP).unwrap();
    }
    // The kernel has a timer for it: nobody needs to run.
    println!("all frozen: gone after {:?}", gone(pid(&first)).await);
    world.signal_agent(Signal::CONT);
    world.reports(|status| restarted(status, 1)).await;
    world.end_agent(Signal::TERM).await;
}

fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status"))).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}
