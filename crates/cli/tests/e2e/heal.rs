//! What dies comes back, and what runs does not notice when a part of Freehold dies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, inside, kill};
use crate::deploy::HELLO;
use crate::load::Load;

fn pids(rows: &[serde_json::Value]) -> BTreeMap<String, u64> {
    rows.iter()
        .map(|row| (row["instance"].to_string(), row["pid"].as_u64().expect("it runs")))
        .collect()
}

#[test]
fn a_killed_process_is_started_again_and_its_death_is_known() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let host = "hello.staging.example.com";
    let mut gaps = Vec::new();
    for round in 1..=5u64 {
        let rows = cluster.wait_healthy("hello", "staging", 1);
        let first = u32::try_from(rows[0]["pid"].as_u64().unwrap()).unwrap();
        // The app itself, not the init before it.
        let app = inside(first).into_iter().max().expect("it runs");
        let killed = Instant::now();
        kill(app);
        // The old one may answer until it is gone.
        while cluster.get(host, "/").is_ok_and(|(status, _)| status == 200)
            && killed.elapsed() < Duration::from_millis(5)
        {}
        cluster.wait("an answer", || match cluster.get(host, "/") {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        gaps.push(killed.elapsed());
        let row = cluster.wait_healthy("hello", "staging", 1).remove(0);
        assert_eq!(row["restarts"], round, "{row}");
        assert_eq!(row["exit_cause"], "signal 9", "{row}");
        // Past the first restart each waits longer; only the first is measured by `make bench`.
        if round == 1 {
            println!("served again after {:?}", gaps[0]);
        }
    }
}

#[test]
fn agent_server_and_proxy_die_and_containers_keep_running() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    cluster.freehold(&["promote", "hello", "--wait"]);
    let before = pids(&cluster.wait_healthy("hello", "production", 3));
    for role in ["agent", "server", "proxy"] {
        let load = Load::start(cluster.http, "hello.example.com", 4);
        cluster.wait("load", || if load.good() > 200 { Ok(()) } else { Err("little".into()) });
        let pid = cluster.role_pid(role).unwrap_or_else(|| panic!("no {role} runs"));
        kill(pid);
        cluster.wait(&format!("another {role}"), || match cluster.role_pid(role) {
            Some(other) if other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let so_far = load.good();
        cluster.wait("more load", || {
            if load.good() > so_far + 2000 { Ok(()) } else { Err(load.good().to_string()) }
        });
        let (good, failed, socket_errors, refused) = load.finish();
        println!("{role}: {good} good, {failed} failed, {socket_errors} cut, {refused} refused");
        assert_eq!((failed, refused), (0, 0), "{role} killed: {good} good");
        let after = pids(&cluster.wait_healthy("hello", "production", 3));
        assert_eq!(before, after, "{role} killed");
    }
}

#[test]
fn numbered_lines_are_kept_once_and_in_order_across_kills() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let text = HELLO
        .replace("[resources]", "[environment]\nHELLO_LOG_LINES_PER_S = \"1000\"\n[resources]");
    let manifest = cluster.manifest("hello", &text);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    for role in ["agent", "server", "agent"] {
        std::thread::sleep(Duration::from_millis(300));
        let pid = cluster.role_pid(role).unwrap_or_else(|| panic!("no {role} runs"));
        kill(pid);
        cluster.wait(&format!("another {role}"), || match cluster.role_pid(role) {
            Some(other) if other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    std::thread::sleep(Duration::from_millis(500));
    let logs = cluster.wait("logs", || {
        let output = cluster.run(&["logs", "hello", "--env", "staging", "--tail", "10000"]);
        if output.status.success() { Ok(output.stdout) } else { Err(format!("{output:?}")) }
    });
    let logs = String::from_utf8_lossy(&logs).into_owned();
    let numbers: Vec<u64> =
        logs.lines().filter_map(|line| line.rsplit_once("line ")?.1.trim().parse().ok()).collect();
    assert!(numbers.len() > 1000, "{} lines", numbers.len());
    let first = numbers[0];
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
}
