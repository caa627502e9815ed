//! Watches: order, wholeness, how they end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::steps::{delete, put, run, stand};
use crate::limits::MAX_WATCH_EVENTS;
use crate::{
    Event, EventKind, Op, Relist, Revision, Store, StoreError, Txn, WatchBatch, WatchRequest,
    WatchStream,
};

/// How long a case waits for what must come. Reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn next(stream: &mut WatchStream) -> Result<WatchBatch, StoreError> {
    let item = timeout(PATIENCE, stream.next()).await.expect("nothing came from the watch in 20 s");
    item.expect("the watch ended without saying why")
}

/// The next batch with events.
pub(super) async fn next_events(stream: &mut WatchStream) -> WatchBatch {
    loop {
        let batch = next(stream).await.expect("a batch");
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

async fn end(stream: &mut WatchStream) -> StoreError {
    loop {
        if let Err(error) = next(stream).await {
            assert!(stream.next().await.is_none(), "an error is the last item");
            return error;
        }
    }
}

async fn watch(store: &dyn Store, prefix: &'static str, from: Revision) -> WatchStream {
    store.watch(WatchRequest::prefix(prefix, from)).await.expect("watch")
}

fn told(event: &Event) -> (EventKind, String, String, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let prev = event.prev.as_ref().map(|prev| text(&prev.value));
    (event.kind, text(&event.kv.key), text(&event.kv.value), prev)
}

pub(super) async fn past_and_present_without_gap(store: Arc<dyn Store>) {
    let first = put(&*store, "w/0", "v").await;
    for n in 1..20 {
        put(&*store, &format!("w/{n}"), "v").await;
    }
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 20..120 {
                put(&*store, &format!("w/{n}"), "v").await;
            }
        })
    };
    let mut stream = watch(&*store, "w/", first).await;
    for n in 0..120 {
        let batch = next_events(&mut stream).await;
        assert_eq!(batch.revision, Revision(first.0 + n));
        assert_eq!(batch.events.len(), 1);
        assert_eq!(told(&batch.events[0]).1, format!("w/{n}"));
    }
    writer.await.expect("the writer");
    let ops = [Op::put("w/0", "new"), Op::delete("w/1"), Op::put("w/x", "1")];
    let answer = run(&*store, Txn::of(ops)).await;
    let batch = next_events(&mut stream).await;
    let mut events: Vec<_> = batch.events.iter().map(told).collect();
    events.sort_by(|a, b| a.1.cmp(&b.1));
    let event = |kind, key: &str, value: &str, prev: Option<&str>| {
        (kind, key.to_owned(), value.to_owned(), prev.map(str::to_owned))
    };
    assert_eq!(batch.revision, answer.revision);
    assert_eq!(
        events,
        [
            event(EventKind::Put, "w/0", "new", Some("v")),
            event(EventKind::Delete, "w/1", "", Some("v")),
            event(EventKind::Put, "w/x", "1", None),
        ]
    );
    // The same events again, from history, with the same previous values.
    let mut again = watch(&*store, "w/", answer.revision).await;
    let replayed = next_events(&mut again).await;
    assert_eq!(replayed.revision, batch.revision);
    let mut replayed: Vec<_> = replayed.events.iter().map(told).collect();
    replayed.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(replayed, events);
}

pub(super) async fn only_what_is_asked_for(store: Arc<dyn Store>) {
    let before = put(&*store, "a/1", "v").await;
    let mut stream = watch(&*store, "b/", before).await;
    // A watch may wait for a revision to come.
    let mut later = watch(&*store, "b/", Revision(before.0 + 3)).await;
    run(&*store, Txn::of([Op::put("a/2", "v"), Op::put("b/1", "v"), Op::put("c", "v")])).await;
    put(&*store, "a/3", "v").await;
    let last = delete(&*store, "b/1").await;
    assert_eq!(last, Revision(before.0 + 3));
    let batch = next_events(&mut stream).await;
    assert_eq!(batch.events.len(), 1);
    assert_eq!(told(&batch.events[0]).1, "b/1");
    let batch = next_events(&mut stream).await;
    assert_eq!((batch.revision, batch.events[0].kind), (last, EventKind::Delete));
    let kv = &batch.events[0].kv;
    assert_eq!((kv.version, kv.create_revision, kv.mod_revision), (0, Revision::ZERO, last));
    assert_eq!(next_events(&mut later).await.revision, last);
}

pub(super) async fn progress_is_told(store: Arc<dyn Store>) {
    let start = stand(&*store).await;
    let mut stream = watch(&*store, "w/", start).await;
    put(&*store, "w/1", "v").await;
    let last = put(&*store, "elsewhere", "v").await;
    let (mut reached, mut events) = (Revision::ZERO, 0);
    while reached < last {
        let batch = next(&mut stream).await.expect("a batch");
        assert!(batch.revision >= reached, "batches go forward");
        (reached, events) = (batch.revision, events + batch.events.len());
    }
    assert_eq!((reached, events), (last, 1));
}

pub(super) async fn compacted_history_ends_a_watch(store: Arc<dyn Store>) {
    let one = put(&*store, "k", "1").await;
    let two = put(&*store, "k", "2").await;
    put(&*store, "k", "3").await;
    store.compact(two).await.expect("compact");
    match end(&mut watch(&*store, "k", one).await).await {
        error @ StoreError::Compacted { at, relist: Relist::History } => {
            assert_eq!(at, two);
            assert!(error.must_relist());
        }
        other => panic!("{other:?}"),
    }
    let mut after = watch(&*store, "k", two.next()).await;
    assert_eq!(told(&next_events(&mut after).await.events[0]).2, "3");
}

pub(super) async fn a_slow_reader_is_cut_off(store: Arc<dyn Store>) {
    let start = stand(&*store).await;
    let mut slow = watch(&*store, "s/", start.next()).await;
    let mut elsewhere = watch(&*store, "e/", start.next()).await;
    // The watch may have a page of its own on the way, so twice its buffer and more.
    for n in 0..=(2 * MAX_WATCH_EVENTS / 100 + 1) {
        run(&*store, Txn::of((0..100).map(|key| Op::put(format!("s/{key}"), n.to_string())))).await;
    }
    let error = end(&mut slow).await;
    assert!(matches!(error, StoreError::Compacted { relist: Relist::Lagging, .. }), "{error:?}");
    put(&*store, "e/1", "v").await;
    assert_eq!(told(&next_events(&mut elsewhere).await.events[0]).1, "e/1");
    // Whoever lists again can go on from there.
    let now = stand(&*store).await;
    let mut again = watch(&*store, "s/", now.next()).await;
    put(&*store, "s/x", "v").await;
    assert_eq!(told(&next_events(&mut again).await.events[0]).1, "s/x");
}

pub(super) async fn another_identity_ends_watches(store: Arc<dyn Store>) {
    let revision = put(&*store, "k", "v").await;
    let before = store.status().await.expect("status").identity;
    let mut stream = watch(&*store, "k", revision).await;
    next_events(&mut stream).await;
    let after = store.renew_identity().await.expect("renew");
    assert_ne!(before, after);
    assert_eq!(store.status().await.expect("status").identity, after);
    let error = end(&mut stream).await;
    assert!(matches!(error, StoreError::Compacted { relist: Relist::Identity, .. }), "{error:?}");
    let from =
        |identity| WatchRequest { identity: Some(identity), ..WatchRequest::prefix("k", revision) };
    let mut old = store.watch(from(before)).await.expect("watch");
    let error = end(&mut old).await;
    assert!(matches!(error, StoreError::Compacted { relist: Relist::Identity, .. }), "{error:?}");
    next_events(&mut store.watch(from(after)).await.expect("watch")).await;
}
