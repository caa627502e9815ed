//! `kill -9` at any moment loses no acknowledged write.
//!
//! A child process writes numbered keys, several in flight, and prints each number once it is
//! acknowledged; it is killed at a random moment, its database opened and looked through, then the
//! next child goes on with it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::RngExt;
use store::{KeyRange, Op, Revision, SqliteOptions, SqliteStore, Store, Txn, read_all};

const ROUNDS: usize = 30;
const DATABASE: &str = "STORE_CRASH_DATABASE";

fn key(number: u64) -> String {
    format!("k/{number:010}")
}

/// The child: does nothing unless it is started by the test below.
#[test]
fn child_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(DATABASE) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await.unwrap());
        let next =
            Arc::new(std::sync::atomic::AtomicU64::new(store.status().await.unwrap().revision.0));
        let tasks: Vec<_> =
            (0..8).map(|_| tokio::spawn(write_on(store.clone(), next.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn write_on(store: Arc<SqliteStore>, next: Arc<std::sync::atomic::AtomicU64>) {
    loop {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let value = vec![(number % 251) as u8; 3_000 + (number % 3_000) as usize];
        let answer = store.txn(Txn::of([Op::put(key(number), value)])).await.unwrap();
        if number.is_multiple_of(50) {
            // Compactions and their sweeps are killed in the middle too.
            let _ = store.compact(Revision(answer.revision.0.saturating_sub(20))).await;
        }
        let line = format!("acknowledged {number} {}\n", answer.revision);
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// Starts a child, kills it after it has acknowledged `after` writes and some moments more, and
/// returns what it acknowledged.
fn round(path: &std::path::Path, after: usize, spin: u32) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
        .env(DATABASE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let read = |line: std::io::Result<String>| {
        let line = line.ok()?;
        let rest = &line[line.find("acknowledged ")? + "acknowledged ".len()..];
        let (number, revision) = rest.split_once(' ')?;
        Some((number.parse().ok()?, revision.parse().ok()?))
    };
    let mut acknowledged = Vec::new();
    while acknowledged.len() < after {
        let line = lines.next().expect("the child ended by itself");
        acknowledged.extend(read(line));
    }
    for turn in 0..spin {
        std::hint::black_box(turn);
    }
    child.kill().unwrap();
    // What it said before it died still counts; a line cut in its middle does not.
    acknowledged.extend(lines.filter_map(read));
    child.wait().unwrap();
    acknowledged
}

async fn check(path: &std::path::Path, acknowledged: &[(u64, u64)]) {
    let store = SqliteStore::open(path, SqliteOptions::default()).await.unwrap();
    store.verify().await.unwrap();
    let status = store.status().await.unwrap();
    for (number, revision) in acknowledged {
        let kv = store.get(key(*number).as_bytes(), None).await.unwrap().kv;
        let kv = kv.unwrap_or_else(|| panic!("key {number} was acknowledged and is lost"));
        assert_eq!(kv.mod_revision, Revision(*revision));
        assert_eq!(kv.value.len(), 3_000 + (number % 3_000) as usize);
        assert!(kv.value.iter().all(|byte| *byte == (number % 251) as u8));
    }
    // Every write made one revision and one key, never overwritten: the revisions have no gap.
    let mut range = KeyRange::all();
    let mut revisions = Vec::new();
    loop {
        let page = store.range(&range, 500, Some(status.revision)).await.unwrap();
        revisions.extend(page.kvs.iter().map(|kv| kv.mod_revision.0));
        match page.kvs.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => break,
        }
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=status.revision.0).collect::<Vec<_>>());
    store.close().await.unwrap();
}

#[test]
fn killed_writers_lose_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let mut random = rand::rng();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut total = 0;
    for number in 0..ROUNDS {
        let (after, spin) = (random.random_range(1..60), random.random_range(0..2_000_000));
        let acknowledged = round(&path, after, spin);
        total += acknowledged.len();
        runtime.block_on(check(&path, &acknowledged));
        eprintln!("round {number}: {} acknowledged, all there", acknowledged.len());
    }
    let (revision, keys) = runtime.block_on(async {
        let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
        read_all(&store, KeyRange::all()).await.unwrap()
    });
    eprintln!(
        "{total} acknowledged in {ROUNDS} rounds, {} keys at revision {revision}",
        keys.len()
    );
}
