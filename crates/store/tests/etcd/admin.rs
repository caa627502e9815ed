//! Out of space and back, with what supervision has for it.

use std::time::{Duration, Instant};

use store::etcd::EtcdAdmin;
use store::{EtcdStore, Op, Store, StoreError, Txn};

use crate::members::Members;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_takes_writes_again() {
    let Some(members) = Members::with_quota(1, 8 << 20) else { return };
    let store = members.open("full/").await;
    let admin = EtcdAdmin::new(members.options("full/")).await.unwrap();
    let fill = || Txn::of([Op::put("k", vec![7; 1 << 20])]);
    let error = loop {
        if let Err(error) = store.txn(fill()).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(admin.out_of_space().await.unwrap().len(), 1);
    // Reads go on, in this store and in one opened now.
    assert!(store.get(b"k", None).await.unwrap().kv.is_some());
    let late = EtcdStore::open(members.options("full/")).await.unwrap();
    assert!(late.get(b"k", None).await.unwrap().kv.is_some());
    drop(late);
    admin.compact().await.unwrap();
    let endpoint = members.endpoint(0);
    let before = admin.status(&endpoint).await.unwrap();
    let begun = Instant::now();
    loop {
        admin.defragment(&endpoint).await.unwrap();
        let status = admin.status(&endpoint).await.unwrap();
        if status.db_bytes < before.db_bytes / 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status:?} after {before:?}");
    }
    for member in admin.out_of_space().await.unwrap() {
        admin.disarm(member).await.unwrap();
    }
    store.txn(fill()).await.unwrap();
}
