//! Limits bite, and bite only who reached them.

use std::fs;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::deploy::HELLO;
use crate::probe;

/// Sum of the sizes of all files below a directory.
fn size_of(dir: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            _ => entry.metadata().map_or(0, |data| data.len()),
        })
        .sum()
}

#[test]
fn a_memory_hog_is_killed_alone_and_reported() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let before = cluster.wait_healthy("hello", "staging", 1);
    let hog = HELLO
        .replace("\"hello\"", "\"hog\"")
        .replace("hello.staging", "hog.staging")
        .replace("hello.example", "hog.example")
        + "[environment]\nHELLO_EAT_MEMORY = \"300\"\n";
    let hog = cluster.manifest("hog", &hog);
    cluster.freehold(&["deploy", "-f", &hog, "--image", "hello:1"]);
    cluster.wait("the hog's death", || {
        let rows = cluster.instances("hog", "staging");
        let dead = rows.iter().any(|row| row["exit_cause"] == "out of memory");
        if dead { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    let after = cluster.wait_healthy("hello", "staging", 1);
    assert_eq!(before[0]["pid"], after[0]["pid"]);
    assert_eq!(after[0]["restarts"], 0);
    cluster.wait("the event", || {
        let events = cluster.freehold(&["event", "list"]);
        if events.contains("out of memory") { Ok(()) } else { Err(events) }
    });
}

#[test]
fn a_fork_bomb_stops_at_its_limit() {
    let Some(cluster) = Cluster::start() else { return };
    probe::push(&cluster);
    // It forks until the kernel refuses, and leaves what it started running.
    let script = "(while true; do $b sleep 100000 & done) &";
    let more = "[resources]\npids = 40\n";
    let text = probe::manifest("bomb", script, more);
    let path = cluster.manifest("bomb", &text);
    cluster.freehold(&["deploy", "-f", &path, "--image", "probe:1"]);
    let row = cluster.wait("the bomb to run", || {
        let rows = cluster.instances("bomb", "staging");
        match rows.into_iter().next() {
            Some(row) if row["pid"].is_u64() => Ok(row),
            other => Err(format!("{other:?}")),
        }
    });
    let pid = u32::try_from(row["pid"].as_u64().unwrap()).unwrap();
    let mut most = 0;
    for _ in 0..40 {
        most = most.max(crate::cluster::inside(pid).len());
        std::thread::sleep(Duration::from_millis(25));
    }
    // The init of ours comes on top.
    assert!(most <= 41, "{most} processes");
    assert!(most >= 39, "only {most} processes: the bomb did not go off");
}

#[test]
fn a_flood_of_log_lines_does_not_fill_the_disk() {
    let Some(cluster) = Cluster::start() else { return };
    probe::push(&cluster);
    let text = probe::manifest("flood", "$b yes 0123456789012345678901234567890123456789", "");
    let path = cluster.manifest("flood", &text);
    cluster.freehold(&["deploy", "-f", &path, "--image", "probe:1"]);
    cluster.wait("lines", || {
        let output = cluster.run(&["logs", "flood", "--tail", "10"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("0123456789") { Ok(()) } else { Err(format!("{output:?}")) }
    });
    let before = size_of(&cluster.data());
    std::thread::sleep(Duration::from_secs(5));
    let after = size_of(&cluster.data());
    println!("{before} bytes, five seconds later {after}");
    // 4 files of 8 MiB at most, and what else is in the directory.
    assert!(after < 64 << 20, "{after} bytes");
    cluster.freehold(&["app", "delete", "flood"]);
}
