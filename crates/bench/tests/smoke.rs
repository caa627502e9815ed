//! The whole program on real containers, quickly: every peer that is installed is measured, the
//! others are skipped by name, and nothing stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The `freehold` binary that end-to-end tests use; says why there is none.
fn freehold() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for containers and namespaces");
        return None;
    }
    let named = std::env::var_os("FREEHOLD_TEST_BINARY").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("freehold");
    let found = named.unwrap_or_else(beside);
    if !found.is_file() {
        eprintln!("skipped: {} is not built; cargo build -p cli", found.display());
        return None;
    }
    Some(found)
}

/// Scratch directories and control groups of benchmarks. The groups of others go by hexadecimal
/// digits, so none begins like these.
fn traces() -> Vec<PathBuf> {
    let scratch = entries(Path::new("/var/tmp"), "freehold-bench-");
    let top = entries(Path::new("/sys/fs/cgroup"), "");
    let groups = top.iter().flat_map(|hierarchy| entries(hierarchy, "freehold-z"));
    scratch.into_iter().chain(groups).collect()
}

fn entries(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    let named = found.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).collect()
}

#[test]
fn containers_are_measured_beside_their_peers_and_nothing_stays() {
    let Some(freehold) = freehold() else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("deep/report.json");
    let before = traces();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", "--runs", "1", "--only", "create-start,instance-start"])
        .arg("--freehold")
        .arg(freehold)
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    let (out, err) = (output.stdout, output.stderr);
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert!(output.status.success(), "{out}\n{err}");
    let stayed: Vec<PathBuf> = traces().into_iter().filter(|it| !before.contains(it)).collect();
    assert!(stayed.is_empty(), "these stayed behind: {stayed:?}");

    let rows: Vec<Value> = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["create-start", "instance-start"], "{out}");
    for (row, peers) in rows.iter().zip([&["runc", "crun"][..], &["docker"]]) {
        assert!(row["freehold"]["median"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["freehold"]["runs"], 1, "{row}");
        for peer in peers {
            let measured =
                row["peers"][peer]["median"].is_number() && row["ratio"][peer].is_number();
            let skipped = row["skipped"][peer].is_string();
            assert!(measured != skipped, "{peer}: {row}");
            assert!(out.contains(peer), "{peer} is not in the table: {out}");
        }
    }
}

#[test]
fn what_is_not_a_benchmark_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["--only", "everything"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("create-start"), "{text}");
}

#[test]
fn a_missing_binary_is_named_with_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, which is asked for first");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = command.args(["--quick", "--freehold", "/nowhere/freehold"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("make build"), "{text}");
}
