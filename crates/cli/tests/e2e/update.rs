//! Updates lose no request; releases that do not work are taken back.

use crate::cluster::Cluster;
use crate::deploy::HELLO;
use crate::load::Load;

#[test]
fn a_rolling_update_of_four_instances_under_load_fails_no_request() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    cluster.push_hello("hello:2");
    let text =
        HELLO.replace("[on.staging.scale]\ninstances = 1", "[on.staging.scale]\ninstances = 4");
    let manifest = cluster.manifest("hello", &text);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let load = Load::start(cluster.http, "hello.staging.example.com", 8);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:2", "--wait"]);
    cluster.wait("50,000 requests", || {
        if load.good() >= 50_000 { Ok(()) } else { Err(load.good().to_string()) }
    });
    let rows = cluster.wait_healthy("hello", "staging", 4);
    let (good, failed, socket_errors, refused) = load.finish();
    println!("{good} good, {failed} failed, {socket_errors} cut, {refused} refused");
    assert_eq!((failed, refused), (0, 0), "of {good}");
    assert!(rows.iter().all(|row| row["release"] == 2), "{rows:?}");
}

#[test]
fn a_release_that_never_becomes_healthy_is_rolled_back_and_says_why() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let before = cluster.wait_healthy("hello", "staging", 1);
    let load = Load::start(cluster.http, "hello.staging.example.com", 2);

    let bad = HELLO.to_owned()
        + "[environment]\nHELLO_UNHEALTHY = \"1\"\n[rollout]\nstart_within = \"3s\"\n";
    let bad = cluster.manifest("bad", &bad);
    let output = cluster.run(&["deploy", "-f", &bad, "--image", "hello:1", "--wait"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("rolled back"), "{said}");
    assert!(said.contains("no progress for 3s"), "{said}");
    assert!(said.contains("listening on"), "the last log lines are missing: {said}");

    let after = cluster.wait_healthy("hello", "staging", 1);
    assert_eq!(before[0]["instance"], after[0]["instance"]);
    assert_eq!(before[0]["pid"], after[0]["pid"]);
    let (good, failed, ..) = load.finish();
    assert_eq!(failed, 0, "of {good}");
}

#[test]
fn who_stops_waiting_leaves_the_deployment_going() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let waiting = HELLO.to_owned()
        + "[environment]\nHELLO_UNHEALTHY = \"1\"\n[rollout]\nstart_within = \"40s\"\n";
    let manifest = cluster.manifest("waiting", &waiting);
    let line = ["deploy", "-f", &manifest, "--image", "hello:1", "--wait", "--timeout"];

    let late = cluster.run(&[&line[..], &["1s"]].concat());
    let said = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(12), "{said}");
    assert!(said.contains("not complete within 1 s"), "{said}");
    assert!(said.contains("goes on") && said.contains("status hello --why"), "{said}");

    let mut child = cluster.command(&[&line[..], &["60s"]].concat()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    cluster.wait("the second wait to say where it stands", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        let status = status.map_err(|error| error.to_string())?;
        // Its own handler for SIGINT (signal 2) is there once it waits.
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16).unwrap_or(0);
        if caught & (1 << 1) == 0 { Err(status) } else { Ok(()) }
    });
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let status = cluster.json(&["status", "hello"]);
    assert_eq!(status[0]["deployment"]["phase"], "rolling", "{status}");
}
