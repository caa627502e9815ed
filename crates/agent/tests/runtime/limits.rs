//! Limits bite.

use std::fs;
use std::time::Duration;

use agent::runtime::*;

use crate::support::*;

#[test]
fn a_memory_hog_is_killed_alone_and_said_so() {
    if !possible() {
        return;
    }
    let world = World::new();
    let other = world.spec("other", "echo up; exec sleep 1000");
    world.runtime.create(&other).unwrap();
    // `tail` keeps a line without end in memory.
    for (name, init) in [("hog", true), ("hog-alone", false)] {
        let mut hog = world.spec(name, "exec tail /dev/zero");
        hog.init = init;
        let exit = world.run(&hog);
        assert_eq!(exit.cause, ExitCause::OutOfMemory, "{name}: {exit:?}");
        assert!(exit.oom_kills >= 1);
    }
    assert!(matches!(world.runtime.status(&other.id).unwrap().phase, Phase::Running(_)));
    assert_eq!(world.runtime.stats(&other.id).unwrap().oom_kills, 0);
}

#[test]
fn writable_paths_count_against_memory() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec(
        "tmpfs",
        "dd if=/dev/zero of=/tmp/x bs=1M count=200 2>/dev/null; \
        stat -c %s /tmp/x; df -m /tmp | tail -1",
    );
    spec.limits.memory_bytes = 16 << 20;
    spec.writable[0].size_bytes = Some(8 << 20);
    let output = world.said(&spec);
    assert!(output.starts_with("8388608\n"), "{output}");
}

#[test]
fn a_fork_bomb_stops_at_its_pids() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec("bomb", "b() { b | b & }; b; echo bombed; sleep 1000");
    spec.limits.pids = 20;
    world.runtime.create(&spec).unwrap();
    let began = std::time::Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_millis(500) {
        most = most.max(world.runtime.stats(&spec.id).unwrap().pids);
    }
    assert!(most > 2 && most <= 20, "{most}");
    world.runtime.delete(&spec.id).unwrap();
    world.assert_clean();
}

/// The CPU time two busy containers get in two seconds on one core.
fn busy(world: &World, specs: &[ContainerSpec]) -> Vec<f64> {
    for spec in specs {
        let started = world.runtime.create(spec).unwrap();
        world.wait_for_line(spec.id.as_str(), "up");
        let tasks = world.runtime.stats(&spec.id).unwrap().pids;
        assert!(tasks >= 1);
        pin_to_one_core(started.pid);
        world.runtime.signal(&spec.id, Signal::parse("USR1").unwrap()).unwrap();
        world.wait_for_line(spec.id.as_str(), "go");
    }
    let used = || -> Vec<u64> {
        specs.iter().map(|spec| world.runtime.stats(&spec.id).unwrap().cpu_ns).collect()
    };
    let (before, began) = (used(), std::time::Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (after, wall) = (used(), began.elapsed());
    let share = |(after, before): (u64, u64)| (after - before) as f64 / wall.as_nanos() as f64;
    after.into_iter().zip(before).map(share).collect()
}

/// Every process of the container, by its init: children inherit, the busy loop is started after.
fn pin_to_one_core(init: u32) {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let pids = children.split_whitespace().map(str::to_owned).chain([init.to_string()]);
    for pid in pids {
        let mut set = rustix::thread::CpuSet::new();
        set.set(0);
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap());
        rustix::thread::sched_setaffinity(pid, &set).unwrap();
    }
}

const BUSY: &str = "trap 'w=1' USR1; echo up; while [ -z \"$w\" ]; do sleep 0.01; done; echo go; \
    while :; do :; done";

#[test]
fn busy_neighbours_share_by_their_guarantees() {
    if !possible() {
        return;
    }
    let world = World::new();
    let specs = [("quarter", 250), ("most", 750)].map(|(name, milli)| {
        let mut spec = world.spec(name, BUSY);
        spec.limits.cpu.guaranteed_milli = milli;
        spec
    });
    let shares = busy(&world, &specs);
    let ratio = shares[1] / shares[0];
    assert!((2.7..=3.3).contains(&ratio), "1:{ratio:.2} of {shares:?}");
}

#[test]
fn a_ceiling_is_kept_on_an_idle_core() {
    if !possible() {
        return;
    }
    let world = World::new();
    let mut spec = world.spec("half", BUSY);
    spec.limits.cpu.max_milli = Some(500);
    let shares = busy(&world, std::slice::from_ref(&spec));
    assert!(shares[0] <= 0.55, "{shares:?}");
    let stats = world.runtime.stats(&spec.id).unwrap();
    // On a core that others keep busy it may get less than its ceiling, and is then not throttled.
    let at_its_ceiling = stats.cpu_throttled_periods * 10 > stats.cpu_periods * 8;
    assert!(!at_its_ceiling || shares[0] >= 0.45, "{shares:?} {stats:?}");
    eprintln!("{shares:?}, throttled in {}/{}", stats.cpu_throttled_periods, stats.cpu_periods);
}
