//! The state moves from a data directory into etcd and back.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use store::{
    EtcdOptions, EtcdStore, KeyRange, Op, SqliteOptions, SqliteStore, Store, Txn, read_all,
};

use crate::world::World;

struct Etcd {
    process: Child,
    endpoint: String,
    _directory: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("skipped: needs etcd (Debian's etcd-server)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held = [free(), free()];
        let [endpoint, peer] =
            held.each_ref().map(|it| format!("http://{}", it.local_addr().unwrap()));
        drop(held);
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { process, endpoint, _directory: directory };
        let begun = Instant::now();
        while block_on(EtcdStore::open(EtcdOptions::new([&started.endpoint]))).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no etcd in 60 s");
        }
        Some(started)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn content(path: &std::path::Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let store = SqliteStore::open(path, SqliteOptions::default()).await.unwrap();
    let (_, all) = read_all(&store, KeyRange::all()).await.unwrap();
    store.close().await.unwrap();
    all.into_iter().map(|kv| (kv.key.to_vec(), kv.value.to_vec())).collect()
}

#[test]
fn the_state_moves_into_etcd_and_back() {
    let Some(etcd) = Etcd::start() else { return };
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    std::fs::create_dir_all(old.join("server")).unwrap();
    let database = old.join("server/state.db");
    let (from, to) = (old.to_str().unwrap(), new.to_str().unwrap());
    let into = ["store", "move", "--from", from, "--to-etcd", &etcd.endpoint, "-o", "json"];

    let missing = world.run(&into);
    assert_eq!(missing.code, 4, "{}", missing.stderr);
    let running = block_on(SqliteStore::open(&database, SqliteOptions::default())).unwrap();
    block_on(async {
        for n in 0..20 {
            let ops = (0..100).map(|k| Op::put(format!("k/{n}/{k}"), vec![n; 50]));
            running.txn(Txn::of(ops)).await.unwrap();
        }
    });
    let in_use = world.run(&into);
    assert_eq!(in_use.code, 13, "{}", in_use.stderr);
    block_on(running.close()).unwrap();
    drop(running);
    let wanted = block_on(content(&database));

    let moved: serde_json::Value = serde_json::from_str(&world.good(&into).stdout).unwrap();
    assert_eq!(moved["keys"], 2000);
    assert!(!database.exists() && old.join("server/state.db.moved").exists());
    // A directory whose state was moved once is not taken for another.
    std::fs::write(&database, "").unwrap();
    let again = world.run(&into);
    assert_eq!(again.code, 5, "{}", again.stderr);

    let back = ["store", "move", "--from-etcd", &etcd.endpoint, "--to", to];
    assert!(world.good(&back).stdout.contains("2000 documents"));
    assert_eq!(block_on(content(&new.join("state.db"))), wanted);
    assert_eq!(world.run(&["store", "move", "--from", from]).code, 2);
}
