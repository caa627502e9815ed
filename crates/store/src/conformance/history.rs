//! Reading the past, pages, compaction.

use std::sync::Arc;

use super::steps::{delete, get, put, run, stand, value_at};
use crate::{KeyRange, Op, Relist, Revision, Store, StoreError, Txn, read_all};

pub(super) async fn the_past_can_be_read(store: Arc<dyn Store>) {
    let start = stand(&*store).await;
    let one = put(&*store, "k", "1").await;
    let two = put(&*store, "k", "2").await;
    let gone = delete(&*store, "k").await;
    let three = put(&*store, "k", "3").await;
    let other = put(&*store, "other", "x").await;
    for (at, wanted) in [
        (start, None),
        (one, Some("1")),
        (two, Some("2")),
        (gone, None),
        (three, Some("3")),
        (other, Some("3")),
        (Revision::ZERO, Some("3")),
    ] {
        assert_eq!(value_at(&*store, "k", at).await.as_deref(), wanted, "at {at}");
        let page = store.range(&KeyRange::prefix("k"), 0, Some(at)).await.expect("range");
        let value = page.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        assert_eq!(value.as_deref(), wanted, "range at {at}");
        assert_eq!(page.revision, other, "answers carry where the store stands");
    }
    match store.get(b"k", Some(other.next())).await {
        Err(StoreError::FutureRevision { asked, current }) => {
            assert_eq!((asked, current), (other.next(), other));
        }
        unexpected => panic!("{unexpected:?}"),
    }
}

pub(super) async fn pages_cover_a_range(store: Arc<dyn Store>) {
    for part in 0..3 {
        let keys = (0..100).map(|n| Op::put(format!("p/{:03}", part * 100 + n), "v"));
        run(&*store, Txn::of(keys)).await;
    }
    put(&*store, "q", "outside").await;
    let (revision, all) = read_all(&*store, KeyRange::prefix("p/")).await.expect("all");
    assert_eq!(all.len(), 300);
    assert!(all.is_sorted_by(|a, b| a.key < b.key));
    let (mut range, mut seen) = (KeyRange::prefix("p/"), Vec::new());
    loop {
        let page = store.range(&range, 7, Some(revision)).await.expect("page");
        assert!(page.kvs.len() <= 7 && (page.kvs.len() == 7 || !page.more));
        seen.extend(page.kvs);
        // What is written meanwhile is not in pages of an earlier revision.
        put(&*store, "p/150a", "late").await;
        if !page.more {
            break;
        }
        range = range.after(&seen.last().expect("a full page").key);
    }
    assert_eq!(seen, all);
    let exact = store.range(&KeyRange::between("p/000", "p/007"), 7, None).await.expect("range");
    assert!(exact.kvs.len() == 7 && !exact.more, "a page that ends the range says so");
    let none = store.range(&KeyRange::between("q", "p"), 0, None).await.expect("range");
    assert!(none.kvs.is_empty() && !none.more);
}

pub(super) async fn any_bytes_are_keys(store: Arc<dyn Store>) {
    let mut keys: Vec<Vec<u8>> = vec![
        vec![0],
        vec![0, 0],
        vec![255],
        vec![255, 255],
        vec![255, 0],
        vec![254, 255],
        vec![b'a'],
    ];
    for key in &keys {
        run(&*store, Txn::of([Op::put(key.clone(), key.clone())])).await;
    }
    keys.sort();
    let (_, all) = read_all(&*store, KeyRange::all()).await.expect("all");
    assert_eq!(all.iter().map(|kv| kv.key.to_vec()).collect::<Vec<_>>(), keys);
    for prefix in [vec![255], vec![0], vec![254, 255]] {
        let page = store.range(&KeyRange::prefix(prefix.clone()), 0, None).await.expect("range");
        let wanted = keys.iter().filter(|key| key.starts_with(&prefix)).count();
        assert_eq!(page.kvs.len(), wanted, "{prefix:?}");
    }
}

pub(super) async fn compaction_forgets(store: Arc<dyn Store>) {
    let one = put(&*store, "k", "1").await;
    let two = put(&*store, "k", "2").await;
    put(&*store, "dead", "x").await;
    let gone = delete(&*store, "dead").await;
    let three = put(&*store, "k", "3").await;
    put(&*store, "kept", "from before").await;
    let last = put(&*store, "k", "4").await;
    store.compact(three).await.expect("compact");
    for at in [one, two, gone] {
        match store.get(b"k", Some(at)).await {
            Err(error @ StoreError::Compacted { at, relist: Relist::History }) => {
                assert_eq!(at, three);
                assert!(error.must_relist());
            }
            unexpected => panic!("{unexpected:?}"),
        }
        assert!(store.range(&KeyRange::all(), 0, Some(at)).await.is_err());
    }
    assert_eq!(value_at(&*store, "k", three).await.as_deref(), Some("3"));
    assert_eq!(value_at(&*store, "k", last).await.as_deref(), Some("4"));
    assert_eq!(get(&*store, "kept").await.expect("the key is there").version, 1);
    assert_eq!(get(&*store, "dead").await, None);
    assert!(matches!(store.compact(three).await, Err(StoreError::Compacted { .. })));
    let future = store.compact(last.next()).await;
    assert!(matches!(future, Err(StoreError::FutureRevision { .. })), "{future:?}");
    store.compact(last).await.expect("compact to the present");
    let k = get(&*store, "k").await.expect("the key is there");
    assert_eq!((k.version, k.create_revision), (4, one), "what lives keeps its past in numbers");
}

pub(super) async fn status_tells(store: Arc<dyn Store>) {
    let before = store.status().await.expect("status");
    let revision = put(&*store, "k", "v").await;
    store.compact(revision).await.expect("compact");
    let after = store.status().await.expect("status");
    assert_eq!((after.revision, after.compacted), (revision, revision));
    assert_eq!(after.identity, before.identity);
    assert!(after.db_used_bytes > 0 && after.db_bytes >= after.db_used_bytes);
}
