//! `freehold up` ends or is killed, and the containers run on for the next start.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::deploy::HELLO;

#[test]
fn containers_run_on_without_up_and_the_next_one_takes_them_over() {
    let Some(mut cluster) = Cluster::start() else { return };
    // What an ephemeral one leaves is nothing; from here on it is not.
    cluster.start_again(Signal::TERM, false);
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    cluster.freehold(&["promote", "hello", "--wait"]);
    let running = |cluster: &Cluster| {
        let rows = cluster.wait_healthy("hello", "production", 3);
        let mut pids: Vec<u64> = rows.iter().filter_map(|row| row["pid"].as_u64()).collect();
        pids.sort_unstable();
        pids
    };
    let before = running(&cluster);
    for (end, ephemeral) in [(Signal::TERM, false), (Signal::KILL, true)] {
        cluster.start_again(end, ephemeral);
        assert_eq!(running(&cluster), before, "after {end:?}");
        assert_eq!(cluster.get("hello.example.com", "/").unwrap().0, 200);
    }
}

#[test]
fn a_backup_brings_the_documents_back_and_refuses_a_full_directory() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.push_hello("hello:1");
    let manifest = cluster.manifest("hello", HELLO);
    cluster.freehold(&["deploy", "-f", &manifest, "--image", "hello:1", "--wait"]);
    let file = cluster.dir.path().join("backup");
    let file = file.to_str().unwrap();
    cluster.freehold(&["backup", file]);
    let data = cluster.data();
    let full = cluster.run(&["restore", file, "--data", data.to_str().unwrap()]);
    assert!(!full.status.success(), "restored over a running cluster");
    let fresh = cluster.dir.path().join("restored");
    let fresh = fresh.to_str().unwrap();
    let keys = data.to_str().unwrap();
    cluster.freehold(&["restore", file, "--data", fresh, "--keys", keys]);
    let cut = cluster.dir.path().join("cut");
    let whole = std::fs::read(file).unwrap();
    std::fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let cut = cut.to_str().unwrap();
    let other = cluster.dir.path().join("other");
    let refused = cluster.run(&["restore", cut, "--data", other.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && !other.exists(), "{said}");
}
