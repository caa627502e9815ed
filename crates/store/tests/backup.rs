//! Backups come back whole, or not at all.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Cursor;

use proptest::prelude::*;
use store::backup::{RestoreError, backup, restore, unfinished, verify};
use store::{
    KeyRange, MemoryStore, Op, SqliteOptions, SqliteStore, Store, StoreError, Txn, read_all,
};

async fn filled(entries: &[(Vec<u8>, Vec<u8>)]) -> MemoryStore {
    let store = MemoryStore::new();
    for (key, value) in entries {
        store.txn(Txn::of([Op::put(key.clone(), value.clone())])).await.unwrap();
    }
    store
}

async fn taken(store: &dyn Store) -> Vec<u8> {
    let mut file = Vec::new();
    backup(store, &mut file).await.unwrap();
    file
}

async fn content(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (_, all) = read_all(store, KeyRange::all()).await.unwrap();
    all.into_iter().map(|kv| (kv.key.to_vec(), kv.value.to_vec())).collect()
}

fn some_entries() -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..300u32).map(|n| (format!("k/{n:04}").into_bytes(), vec![n as u8; n as usize])).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[tokio::test]
async fn a_backup_moves_a_store_into_another_backend() {
    let source = filled(&some_entries()).await;
    let lease = source.lease_grant(std::time::Duration::from_secs(60)).await.unwrap().id;
    let op = Op::Put { key: "leased".into(), value: "v".into(), lease: Some(lease) };
    source.txn(Txn::of([op])).await.unwrap();
    let file = taken(&source).await;

    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::default();
    let target = SqliteStore::open(directory.path().join("db"), options).await.unwrap();
    let before = target.status().await.unwrap().identity;
    let summary = restore(Cursor::new(&file), &target).await.unwrap();
    assert_eq!(summary.keys, 300);
    assert_eq!(content(&target).await, some_entries());
    let after = target.status().await.unwrap().identity;
    assert!(after != before && after != summary.identity);
    assert!(!unfinished(&target).await.unwrap());
    let error = restore(Cursor::new(&file), &target).await.unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty), "{error}");
    assert_eq!(content(&target).await, some_entries());
}

#[tokio::test]
async fn a_backup_is_of_one_revision() {
    // Values so large that the backup takes several pages; a writer comes between them.
    let entries: Vec<_> = (0..20u8).map(|n| (vec![b'k', n], vec![n; 1 << 20])).collect();
    let source = filled(&entries).await;
    let (mut out, mut into) = tokio::io::duplex(64 * 1024);
    let reading = async {
        let mut file = Vec::new();
        let mut written = false;
        loop {
            let more = tokio::io::AsyncReadExt::read_buf(&mut out, &mut file).await.unwrap();
            if !written && file.len() > 100_000 {
                source
                    .txn(Txn::of([Op::put(vec![b'k', 19], "late"), Op::put("z", "late")]))
                    .await
                    .unwrap();
                written = true;
            }
            if more == 0 {
                assert!(written);
                return file;
            }
        }
    };
    let writing = async {
        backup(&source, &mut into).await.unwrap();
        drop(into);
    };
    let (file, ()) = tokio::join!(reading, writing);
    let target = MemoryStore::new();
    restore(Cursor::new(&file), &target).await.unwrap();
    assert_eq!(content(&target).await, entries);
}

#[tokio::test]
async fn a_restore_cut_off_is_seen_and_done_over() {
    let source = filled(&some_entries()).await;
    let file = taken(&source).await;
    let target = MemoryStore::new();
    // 300 keys take a marker, three parts, an identity and the marker's removal.
    for writes in 0..6 {
        target.faults().fail_writes_after(writes);
        let error = restore(Cursor::new(&file), &target).await.unwrap_err();
        assert!(matches!(error, RestoreError::Store(StoreError::Unavailable { .. })), "{error}");
        assert_eq!(unfinished(&target).await.unwrap(), writes > 0);
        if writes > 0 {
            assert!(backup(&target, &mut Vec::new()).await.is_err(), "half a store is none");
        }
    }
    target.faults().heal();
    restore(Cursor::new(&file), &target).await.unwrap();
    assert_eq!(content(&target).await, some_entries());
    assert!(!unfinished(&target).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn anything_comes_back(
        entries in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..20),
            prop::collection::vec(any::<u8>(), 0..50),
            0..40,
        ),
    ) {
        let entries: Vec<_> = entries.into_iter().collect();
        block_on(async {
            let file = taken(&filled(&entries).await).await;
            let target = MemoryStore::new();
            restore(Cursor::new(&file), &target).await.unwrap();
            prop_assert_eq!(content(&target).await, entries);
            Ok(())
        })?;
    }

    #[test]
    fn a_damaged_backup_writes_nothing(
        cut in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
        bit in 0u8..8,
        way in 0u8..3,
    ) {
        block_on(async {
            let mut file = taken(&filled(&some_entries()[..20]).await).await;
            match way {
                0 => file.truncate(cut.index(file.len())),
                1 => {
                    let place = flip.index(file.len());
                    file[place] ^= 1 << bit;
                }
                _ => file.extend_from_slice(b"{}\n"),
            }
            let target = MemoryStore::new();
            let error = restore(Cursor::new(&file), &target).await.err();
            prop_assert!(error.is_some());
            prop_assert!(content(&target).await.is_empty());
            prop_assert_eq!(target.status().await.unwrap().revision, store::Revision::FIRST);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn foreign_and_newer_files_are_named() {
    for file in ["", "hello\n", "{\"format\":\"other\"}\n", "\u{0}\u{1}"] {
        let error = verify(Cursor::new(file)).await.unwrap_err();
        assert!(matches!(error, RestoreError::Foreign), "{file:?}: {error}");
    }
    let newer = "{\"format\":\"freehold-backup\",\"version\":2}\n";
    let error = verify(Cursor::new(newer)).await.unwrap_err();
    assert!(matches!(error, RestoreError::NewerFormat { found: 2, known: 1 }), "{error}");
}
