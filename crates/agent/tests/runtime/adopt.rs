//! Agents come and go; containers stay, and nothing of them is lost.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::runtime::*;
use agent::shim::log::LogFollower;
use agent::shim::{Reply, Request};

use crate::support::*;

/// Runs this test binary again as an agent that creates one container and waits to be killed.
const ROLE: &str = "FREEHOLD_TEST_AGENT";

#[test]
fn an_agent_in_a_process_of_its_own() {
    let Ok(order) = std::env::var(ROLE) else { return };
    let (state, spec): (PathBuf, ContainerSpec) = serde_json::from_str(&order).unwrap();
    let name = state.file_name().unwrap().to_str().unwrap().to_owned();
    let options = RuntimeOptions {
        state_dir: state,
        cgroup_parent: PathBuf::from(format!("/{name}")),
        shim: ShimCommand { exe: shim_exe(), args: vec!["shim".to_owned()] },
        driver: DriverKind::Libcontainer,
    };
    HostRuntime::open(options).unwrap().create(&spec).unwrap();
    println!("created");
    std::thread::sleep(PATIENCE);
}

fn kill_an_agent_that_created(world: &World, spec: &ContainerSpec) {
    let order = serde_json::to_string(&(&world.options.state_dir, spec)).unwrap();
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["adopt::an_agent_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(ROLE, order)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(agent.stdout.take().unwrap());
    let created = std::io::BufRead::lines(out).any(|line| line.unwrap().contains("created"));
    assert!(created, "the agent did not create its container");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn numbered_lines_survive_the_death_of_the_agent() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; \
        [ $((i % 50)) = 0 ] && sleep 0.01; done; exit 9";
    let mut spec = world.spec("numbers", script);
    spec.log.file_bytes = 20_000;
    spec.log.files = 50;
    kill_an_agent_that_created(&world, &spec);
    let adopted = world.another_agent();
    let status = adopted.list().unwrap();
    assert!(matches!(status[0].phase, Phase::Running(_)), "{status:?}");
    let mut watch = adopted.watch_exit(&spec.id).unwrap();
    let Some(Phase::Exited(exit)) = watch.wait(Some(PATIENCE)).unwrap() else { panic!() };
    assert_eq!(exit.cause, ExitCause::Code(9));
    let entries = LogFollower::from(&spec.log.dir, 1).read(usize::MAX).unwrap();
    let texts = entries.into_iter().map(|entry| String::from_utf8(entry.text).unwrap());
    assert!(texts.eq((1..=3000).map(|n| n.to_string())));
}

#[test]
fn exits_while_no_agent_is_there_are_known() {
    if !possible() {
        return;
    }
    let world = World::new();
    let spec = world.spec("alone", "trap 'exit 33' TERM; echo up; while :; do sleep 0.01; done");
    kill_an_agent_that_created(&world, &spec);
    world.wait_for_line("alone", "up");
    let Phase::Running(started) = world.runtime.status(&spec.id).unwrap().phase else { panic!() };
    let pid = i32::try_from(started.pid).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let exit = world.end_of(&spec.id);
    assert_eq!((exit.cause, exit.stopped_by), (ExitCause::Code(33), None));
    // A later agent asks the record, since no shim is there any more.
    let later = world.another_agent();
    assert_eq!(later.status(&spec.id).unwrap().phase, Phase::Exited(exit.clone()));
    let mut watch = later.watch_exit(&spec.id).unwrap();
    assert_eq!(watch.wait(None).unwrap(), Some(Phase::Exited(exit)));
    later.delete(&spec.id).unwrap();
    world.assert_clean();
}

#[test]
fn a_killed_shim_takes_its_container_along() {
    if !possible() {
        return;
    }
    let world = World::new();
    for (name, init) in [("with", true), ("without", false)] {
        let mut spec = world.spec(name, "(sleep 1000 &); echo up; while :; do sleep 0.01; done");
        spec.init = init;
        let started = world.runtime.create(&spec).unwrap();
        world.wait_for_line(name, "up");
        let pidfd = |pid: u32| {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
        };
        let (shim, first) = (pidfd(started.shim_pid), pidfd(started.pid));
        let mut watch = world.runtime.watch_exit(&spec.id).unwrap();
        rustix::process::pidfd_send_signal(&shim, rustix::process::Signal::KILL).unwrap();
        assert_eq!(watch.wait(Some(PATIENCE)).unwrap(), Some(Phase::Lost));
        let began = std::time::Instant::now();
        while rustix::process::pidfd_send_signal(&first, rustix::process::Signal::URG).is_ok() {
            assert!(began.elapsed() < PATIENCE, "the container lives on");
        }
        assert_eq!(world.runtime.status(&spec.id).unwrap().phase, Phase::Lost);
        world.runtime.delete(&spec.id).unwrap();
    }
    world.assert_clean();
}

#[test]
fn a_singleton_ends_by_itself_when_nobody_renews() {
    if !possible() {
        return;
    }
    let world = World::new();
    let lease = |ms| Some(BoottimeMs::now().plus_ms(ms));
    let mut spec = world.spec("single", "echo up; exec sleep 1000");
    spec.deadline = lease(600_000);
    world.runtime.create(&spec).unwrap();
    // Renewing never shortens.
    world.runtime.renew(&spec.id, BoottimeMs::now().plus_ms(5)).unwrap();
    assert!(matches!(world.runtime.status(&spec.id).unwrap().phase, Phase::Running(_)));
    world.runtime.delete(&spec.id).unwrap();
    spec.deadline = lease(400);
    let deadline = spec.deadline.unwrap();
    world.runtime.create(&spec).unwrap();
    world.runtime.renew(&spec.id, deadline.plus_ms(200)).unwrap();
    let exit = world.end_of(&spec.id);
    assert_eq!(exit.stopped_by, Some(StopReason::Deadline));
    assert!(exit.ended_at >= deadline.plus_ms(200), "{exit:?}");
    let late = world.runtime.renew(&spec.id, deadline.plus_ms(900));
    assert!(matches!(late, Err(RuntimeError::NotRunning(_))), "{late:?}");
}

#[test]
fn clients_that_talk_nonsense_harm_nobody() {
    if !possible() {
        return;
    }
    let world = World::new();
    let spec = world.spec("calm", "echo up; exec sleep 1000");
    world.runtime.create(&spec).unwrap();
    let socket = world.options.state_dir.join("calm/shim.sock");
    let mut held = Vec::new();
    for noise in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x05hello", b"", b"\0\0"] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        std::io::Write::write_all(&mut stream, noise).unwrap();
        held.push(stream);
    }
    for _ in 0..100 {
        held.push(std::os::unix::net::UnixStream::connect(&socket).unwrap());
    }
    // The newest are turned away while so many hang on, and served when they let go.
    drop(held);
    let began = std::time::Instant::now();
    while world.runtime.status(&spec.id).is_err() {
        assert!(began.elapsed() < PATIENCE);
    }
    world.runtime.stop(&spec.id, Duration::ZERO).unwrap();
    assert_eq!(world.end_of(&spec.id).cause, ExitCause::Signal(Signal::KILL));
    let wire = serde_json::to_string(&Request::Stop { grace_ms: 5 }).unwrap();
    assert_eq!(wire, r#"{"op":"stop","grace_ms":5}"#);
    let wire = serde_json::to_string(&Reply::Hello { version: 1 }).unwrap();
    assert_eq!(wire, r#"{"re":"hello","version":1}"#);
}

#[test]
fn an_asynchronous_watch_ends_with_the_container() {
    if !possible() {
        return;
    }
    let world = World::new();
    let spec = world.spec("async", "sleep 0.05; exit 3");
    world.runtime.create(&spec).unwrap();
    let watch = world.runtime.watch_exit(&spec.id).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Phase::Exited(exit) = runtime.block_on(watch.ended()).unwrap() else { panic!() };
    assert_eq!(exit.cause, ExitCause::Code(3));
}
