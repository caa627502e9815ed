//! The conformance suite over the backends of this crate, each case on a store of its own.

use std::sync::Arc;

use store::conformance::suite;
use store::{MemoryStore, SqliteOptions, SqliteStore, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    suite(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    suite(|| async {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.db"));
        let store = SqliteStore::open(path, SqliteOptions::default()).await.expect("open");
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}
