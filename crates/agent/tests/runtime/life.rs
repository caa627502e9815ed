//! Creating, ending, deleting.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use agent::runtime::*;

use crate::support::*;

#[test]
fn exit_codes_and_output() {
    if !possible() {
        return;
    }
    let world = World::new();
    let spec = world.spec("code", "echo out $GREETING; echo err >&2; exit 7");
    let exit = world.run(&spec);
    assert_eq!((exit.cause, exit.stopped_by), (ExitCause::Code(7), None));
    assert!(exit.started_at.is_some_and(|at| at <= exit.ended_at));
    let mut lines: Vec<String> = world.output("code").lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out hello"]);
    world.runtime.delete(&spec.id).unwrap();
    world.assert_clean();
    world.runtime.delete(&spec.id).unwrap();
}

#[test]
fn with_and_without_init_signals_are_told_apart_from_codes() {
    if !possible() {
        return;
    }
    let world = World::new();
    for (name, init) in [("with", true), ("without", false)] {
        let mut spec =
            world.spec(name, "trap 'exit 42' USR1; echo up; while :; do sleep 0.01; done");
        spec.init = init;
        world.runtime.create(&spec).unwrap();
        world.wait_for_line(name, "up");
        world.runtime.signal(&spec.id, Signal::parse("USR1").unwrap()).unwrap();
        assert_eq!(world.end_of(&spec.id).cause, ExitCause::Code(42), "{name}");
    }
    let mut spec = world.spec("segv", "kill -SEGV $$");
    assert_eq!(world.run(&spec).cause, ExitCause::Signal(Signal::parse("SEGV").unwrap()));
    spec.id = id("code-137");
    spec.args = ["/bin/sh", "-c", "exit 137"].map(str::to_owned).to_vec();
    assert_eq!(world.run(&spec).cause, ExitCause::Code(137));
}

#[test]
fn stop_asks_and_then_kills() {
    if !possible() {
        return;
    }
    let world = World::new();
    let kind =
        world.spec("kind", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    let deaf = world.spec("deaf", "trap '' TERM; echo up; while :; do sleep 0.01; done");
    for spec in [&kind, &deaf] {
        world.runtime.create(spec).unwrap();
        world.wait_for_line(spec.id.as_str(), "up");
    }
    world.runtime.stop(&kind.id, Duration::from_secs(600)).unwrap();
    let exit = world.end_of(&kind.id);
    assert_eq!((exit.cause, exit.stopped_by), (ExitCause::Code(0), Some(StopReason::Asked)));
    assert!(world.output("kind").contains("bye"));
    world.runtime.stop(&deaf.id, Duration::from_secs(600)).unwrap();
    world.runtime.stop(&deaf.id, Duration::from_millis(50)).unwrap();
    let exit = world.end_of(&deaf.id);
    let killed = ExitCause::Signal(Signal::KILL);
    assert_eq!((exit.cause, exit.stopped_by), (killed, Some(StopReason::GraceOver)));
    // What has ended may be stopped again, but not signalled.
    world.runtime.stop(&deaf.id, Duration::ZERO).unwrap();
    let again = world.runtime.signal(&deaf.id, Signal::TERM);
    assert!(matches!(again, Err(RuntimeError::NotRunning(_))), "{again:?}");
}

#[test]
fn init_reaps_orphans_and_takes_everything_with_it() {
    if !possible() {
        return;
    }
    let world = World::new();
    let script = "(sleep 0.05 & exit 0); (sleep 1000 &); \
        while ps -o comm,stat | grep -q 'sleep.*Z'; do :; done; \
        sleep 0.2; ps -o stat,comm | grep -c ^Z; ps -o pid,comm | head -2; exit 0";
    let mut spec = world.spec("orphans", script);
    spec.limits.pids = 64;
    let output = world.said(&spec);
    assert!(output.starts_with("0\n"), "no zombies: {output}");
    assert!(output.contains("1 init"), "{output}");
    world.runtime.delete(&spec.id).unwrap();
    world.assert_clean();
}

#[test]
fn what_cannot_be_executed_is_named() {
    if !possible() {
        return;
    }
    let world = World::new();
    fs::write(world.layer.join("bin/not-executable"), "x").unwrap();
    fs::write(world.layer.join("bin/no-interpreter"), "#!/bin/nothing\n").unwrap();
    let script = world.layer.join("bin/no-interpreter");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = |name: &str, change: &dyn Fn(&mut ContainerSpec), words: &[&str]| {
        let mut spec = world.spec(name, "true");
        change(&mut spec);
        let error = world.runtime.create(&spec).unwrap_err();
        let text = chain(&error);
        for word in words {
            assert!(text.contains(word), "{name}: no {word:?} in {text}");
        }
        assert!(!error.retryable(), "{name}: {text}");
        world.assert_clean();
    };
    for init in [true, false] {
        let command = |spec: &mut ContainerSpec, command: &str| {
            spec.init = init;
            spec.args = vec![command.to_owned()];
        };
        refused("missing", &|s| command(s, "/bin/missing"), &["/bin/missing", "not in the image"]);
        refused("path", &|s| command(s, "nowhere"), &["nowhere", "No such file"]);
        refused("mode", &|s| command(s, "/bin/not-executable"), &["not-executable", "denied"]);
        refused(
            "interp",
            &|s| command(s, "no-interpreter"),
            &["/bin/no-interpreter", "interpreter"],
        );
    }
    refused("user", &|s| s.user = "nobody".into(), &["no user \"nobody\""]);
    refused("group", &|s| s.user = "web:none".into(), &["no group \"none\""]);
    refused("range", &|s| s.user = "70000".into(), &["70000", "65536"]);
    refused("nul", &|s| s.args[2] = "a\0b".into(), &["NUL"]);
    refused("empty", &|s| s.args.clear(), &["no command"]);
    refused("proc", &|s| s.writable[0].path = "/proc/x".into(), &["/proc/x"]);
    refused("dots", &|s| s.writable[0].path = "/tmp/../x".into(), &["/tmp/../x"]);
}

#[test]
fn half_made_containers_are_deleted() {
    if !possible() {
        return;
    }
    let world = World::new();
    // A layer that is gone fails after the shim has begun.
    let mut spec = world.spec("gone", "true");
    spec.layers.push(world.disk.path().join("no-such-layer"));
    let error = world.runtime.create(&spec).unwrap_err();
    assert!(chain(&error).contains("no-such-layer"), "{}", chain(&error));
    world.assert_clean();
    // An agent that died right after making the bundle.
    fs::create_dir(world.options.state_dir.join("bare")).unwrap();
    let phases: Vec<Phase> = world.runtime.list().unwrap().into_iter().map(|s| s.phase).collect();
    assert_eq!(phases, [Phase::Creating]);
    world.runtime.delete(&id("bare")).unwrap();
    // A bundle that is there already is not touched.
    let spec = world.spec("twice", "echo up; sleep 1000");
    world.runtime.create(&spec).unwrap();
    let again = world.runtime.create(&spec);
    assert!(matches!(again, Err(RuntimeError::Exists(_))), "{again:?}");
    assert!(matches!(world.runtime.status(&spec.id).unwrap().phase, Phase::Running(_)));
    world.runtime.delete(&spec.id).unwrap();
    world.assert_clean();
}

#[test]
fn a_hundred_at_once() {
    if !possible() {
        return;
    }
    let world = World::new();
    let runtime = &world.runtime;
    let specs: Vec<ContainerSpec> =
        (0..100).map(|n| world.spec(&format!("c{n}"), "echo up; exec sleep 1000")).collect();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        let starts: Vec<_> =
            specs.iter().map(|spec| scope.spawn(move || runtime.create(spec))).collect();
        for start in starts {
            start.join().unwrap().unwrap_or_else(|e| panic!("{}", chain(&e)));
        }
    });
    eprintln!("100 started in {:?}", began.elapsed());
    let running = |status: &Status| matches!(status.phase, Phase::Running(_));
    assert_eq!(runtime.list().unwrap().iter().filter(|status| running(status)).count(), 100);
    std::thread::scope(|scope| {
        for spec in &specs {
            scope.spawn(move || runtime.delete(&spec.id).unwrap());
        }
    });
    world.assert_clean();
}
