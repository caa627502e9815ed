//! The conformance suite, each case under a prefix of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use store::Store;
use store::conformance::suite;

use crate::members::Members;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_does_what_every_backend_must() {
    let Some(members) = Members::start(1) else { return };
    let (count, members) = (AtomicU32::new(0), &members);
    suite(|| async {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Arc::new(members.open(&format!("case{number}/")).await) as Arc<dyn Store>
    })
    .await;
}
