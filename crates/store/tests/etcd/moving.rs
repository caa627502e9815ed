//! From SQLite into etcd and back with nothing lost.

use store::backup::{RestoreError, TransferError, transfer};
use store::{
    KeyRange, Op, Revision, SqliteOptions, SqliteStore, Store, StoreError, Txn, WatchRequest,
    read_all,
};

use crate::members::Members;

const KEYS: usize = 6_000;

async fn content(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (_, all) = read_all(store, KeyRange::all()).await.unwrap();
    all.into_iter().map(|kv| (kv.key.to_vec(), kv.value.to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_keys_go_to_etcd_and_come_back() {
    let Some(members) = Members::start(3) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let open = async |name| SqliteStore::open(path(name), SqliteOptions::default()).await.unwrap();
    let source = open("source.db").await;
    let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = (0..KEYS)
        .map(|n| (format!("k/{n:05}").into_bytes(), vec![n as u8; n * 7919 % 3_000]))
        .collect();
    // Keys that are no text, and values as large as there are.
    wanted.extend([(vec![0], vec![1; 1_000_000]), (vec![255, 255], vec![2; 1_400_000])]);
    wanted.sort();
    for part in wanted.chunks(100) {
        let ops = part.iter().map(|(key, value)| Op::put(key.clone(), value.clone()));
        for ops in [ops.clone().take(50).collect::<Vec<_>>(), ops.skip(50).collect()] {
            let large =
                ops.iter().any(|op| matches!(op, Op::Put { value, .. } if value.len() > 9_999));
            let parts = if large { ops.chunks(1) } else { ops.chunks(50) };
            for part in parts {
                source.txn(Txn::of(part.to_vec())).await.unwrap();
            }
        }
    }
    let from = source.status().await.unwrap();

    let etcd = members.open("moved/").await;
    let summary = transfer(&source, &etcd, &path("scratch")).await.unwrap();
    assert_eq!(summary.keys, KEYS as u64 + 2);
    assert_eq!(content(&etcd).await, wanted);
    assert!(!path("scratch").exists());
    let now = etcd.status().await.unwrap();
    assert!(now.identity != from.identity);
    // Who watched the old store is told to list again.
    let request = WatchRequest {
        identity: Some(from.identity),
        ..WatchRequest::prefix("k/", Revision(from.revision.0 + 1))
    };
    let mut stream = etcd.watch(request).await.unwrap();
    let told = futures_util::StreamExt::next(&mut stream).await.unwrap();
    assert!(matches!(told, Err(StoreError::Compacted { .. })), "{told:?}");

    let again = transfer(&source, &etcd, &path("scratch")).await.unwrap_err();
    assert!(matches!(again, TransferError::Write(RestoreError::NotEmpty)), "{again:?}");

    let back = open("back.db").await;
    transfer(&etcd, &back, &path("scratch")).await.unwrap();
    assert_eq!(content(&back).await, wanted);
}
