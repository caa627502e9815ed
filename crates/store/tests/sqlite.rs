//! What only a database on disk can get wrong: second openers, foreign and damaged files, a full
//! disk, leases over a restart, sweeping after compactions.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use store::clock::ManualClock;
use store::{
    Fault, KeyRange, Op, Revision, SqliteOptions, SqliteStore, Store, StoreError, Txn, read_all,
};

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, SqliteOptions::default()).await
}

async fn refusal(path: &Path) -> StoreError {
    open(path).await.err().expect("must be refused")
}

async fn put(
    store: &SqliteStore,
    key: impl Into<String>,
    bytes: usize,
) -> Result<Revision, StoreError> {
    let op = Op::put(key.into(), vec![1; bytes]);
    Ok(store.txn(Txn::of([op])).await?.revision)
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let first = open(&path).await.unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, StoreError::AlreadyOpen { .. }), "{error}");
    assert!(error.to_string().contains("this process"), "{error}");
    put(&first, "k", 10).await.unwrap();
    first.close().await.unwrap();
    assert!(matches!(put(&first, "k", 10).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(first.get(b"k", None).await, Err(StoreError::Unavailable { .. })));
    let again = open(&path).await.unwrap();
    assert!(again.get(b"k", None).await.unwrap().kv.is_some());
}

#[tokio::test]
async fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("db")).await.unwrap();
    put(&store, "k", 10).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert!(files >= 3, "database, log and index of the log");
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(
        &text,
        "not a database, but long enough to have a header to be looked at: ".repeat(90),
    )
    .unwrap();
    let foreign = directory.path().join("foreign");
    let conn = rusqlite::Connection::open(&foreign).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(conn);
    for path in [text, foreign] {
        let before = std::fs::read(&path).unwrap();
        let error = refusal(&path).await;
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    let newer = directory.path().join("newer");
    open(&newer).await.unwrap().close().await.unwrap();
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let error = refusal(&newer).await;
    assert!(matches!(error, StoreError::NewerFormat { found: 9, known: 1, .. }), "{error:?}");
    let nowhere = refusal(&directory.path().join("no/such/directory/db")).await;
    assert_eq!(nowhere.fault(), Fault::Unavailable);
}

#[tokio::test]
async fn damage_is_found_at_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let store = open(&path).await.unwrap();
    for n in 0..200 {
        put(&store, format!("k/{n}"), 2_000).await.unwrap();
    }
    store.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[8 * 4096..20 * 4096].fill(0);
    std::fs::write(&path, torn).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    std::fs::write(&path, whole).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE meta SET revision = 5", []).unwrap();
    let error = refusal(&path).await;
    assert!(error.to_string().contains("events after its revision"), "{error}");
}

/// Fills the store to the brim and checks that what was acknowledged, and only that, is there; then
/// that there is a way back.
async fn fill(path: &Path, options: SqliteOptions) {
    let store = Arc::new(SqliteStore::open(path, options.clone()).await.unwrap());
    let mut acknowledged = Vec::new();
    let mut refused = None;
    for round in 0..200 {
        let writes = (0..8).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                (round * 8 + n, put(&store, format!("k/{}", round * 8 + n), 20_000).await)
            })
        });
        for write in writes.collect::<Vec<_>>() {
            match write.await.unwrap() {
                (number, Ok(revision)) => acknowledged.push((number, revision)),
                (_, Err(error)) => refused = Some(error),
            }
        }
        if refused.is_some() {
            break;
        }
    }
    let error = refused.expect("it never got full");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(error.retryable() && error.fault() == Fault::Unavailable);
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    assert_all_there(&store, &acknowledged).await;
    store.close().await.unwrap();
    drop(store);

    let store = SqliteStore::open(path, options).await.unwrap();
    assert_all_there(&store, &acknowledged).await;
    store.verify().await.unwrap();
    // The way back: delete, compact, write again.
    let half = acknowledged.len() / 2;
    for (number, _) in &acknowledged[..half] {
        store.txn(Txn::of([Op::delete(format!("k/{number}"))])).await.unwrap();
    }
    let now = store.status().await.unwrap().revision;
    store.compact(now).await.unwrap();
    for n in 0..half / 2 {
        while let Err(error) = put(&store, format!("new/{n}"), 20_000).await {
            assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
            tokio::task::yield_now().await;
        }
    }
    assert_all_there(&store, &acknowledged[half..]).await;
    store.close().await.unwrap();
}

async fn assert_all_there(store: &SqliteStore, acknowledged: &[(i32, Revision)]) {
    for (number, revision) in acknowledged {
        let kv = store.get(format!("k/{number}").as_bytes(), None).await.unwrap().kv.unwrap();
        assert_eq!((kv.mod_revision, kv.value.len()), (*revision, 20_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_quota_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_bytes: 2 << 20, ..SqliteOptions::default() };
    fill(&directory.path().join("db"), options).await;
}

struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "tmpfs"])
            .arg(directory.path())
            .status();
        assert!(mount.unwrap().success());
        Self(directory)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to mount a small file system");
        return;
    }
    let mounted = Mounted::tmpfs("size=8m");
    let path = mounted.0.path().join("db");
    let store = open(&path).await.unwrap();
    let mut acknowledged = Vec::new();
    let error = loop {
        let number = acknowledged.len() as i32;
        match put(&store, format!("k/{number}"), 20_000).await {
            Ok(revision) => acknowledged.push((number, revision)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_all_there(&store, &acknowledged).await;
    // Killed here, with the disk full: what a copy of the files says is what a restart would find.
    let copy = tempfile::tempdir().unwrap();
    for name in ["db", "db-wal"] {
        std::fs::copy(mounted.0.path().join(name), copy.path().join(name)).unwrap();
    }
    let again = open(&copy.path().join("db")).await.unwrap();
    assert_all_there(&again, &acknowledged).await;
    again.verify().await.unwrap();
    let bigger = std::process::Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(mounted.0.path())
        .status();
    assert!(bigger.unwrap().success());
    put(&store, "after", 20_000).await.expect("with room it goes on by itself");
    store.close().await.unwrap();
}

#[tokio::test]
async fn leases_keep_their_time_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let clock = Arc::new(ManualClock::default());
    let options = || SqliteOptions { clock: clock.clone(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options()).await.unwrap();
    let lease = store.lease_grant(Duration::from_secs(100)).await.unwrap().id;
    let op = Op::Put { key: "l".into(), value: "v".into(), lease: Some(lease) };
    store.txn(Txn::of([op])).await.unwrap();
    clock.advance(Duration::from_secs(30));
    store.close().await.unwrap();
    // A machine that was off: the clock of the next start begins anew, the lease goes on.
    let clock = Arc::new(ManualClock::default());
    let options = SqliteOptions { clock: clock.clone(), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    assert_eq!(store.lease_left(lease).await.unwrap(), Duration::from_secs(70));
    let mut stream = store.watch(store::WatchRequest::prefix("l", Revision(3))).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.lease_keep_alive(lease).await.unwrap(), Duration::from_secs(100));
    clock.advance(Duration::from_secs(99));
    assert_eq!(store.lease_left(lease).await.unwrap(), Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    let batch = futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap();
    assert_eq!((batch.revision, batch.events.len()), (Revision(3), 1));
    assert!(matches!(store.lease_left(lease).await, Err(StoreError::LeaseNotFound(_))));
}

#[tokio::test]
async fn compaction_gives_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let store = open(&path).await.unwrap();
    for n in 0..700 {
        put(&store, format!("k/{}", n % 10), 3_000).await.unwrap();
    }
    let before = store.status().await.unwrap();
    store.compact(before.revision).await.unwrap();
    let (_, all) = read_all(&store, KeyRange::all()).await.unwrap();
    assert_eq!(all.len(), 10);
    // The sweep goes on in the background; each answer below waits for a turn of the writer.
    let mut turns = 0;
    while store.status().await.unwrap().db_used_bytes * 10 > before.db_used_bytes {
        put(&store, "other", 10).await.unwrap();
        turns += 1;
        assert!(turns < 100, "the sweep does not come to its end");
    }
    let size = store.status().await.unwrap().db_bytes;
    for n in 0..500 {
        put(&store, format!("k/{}", n % 10), 3_000).await.unwrap();
    }
    assert_eq!(store.status().await.unwrap().db_bytes, size, "space is used again");
    store.verify().await.unwrap();
}
