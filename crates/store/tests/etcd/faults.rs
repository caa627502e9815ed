//! Members killed and frozen under writers and a watch: nothing acknowledged is lost, nothing is
//! told twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use store::{
    Compare, EtcdStore, EventKind, KeyRange, Op, Revision, Store, StoreError, Txn, WatchRequest,
    read_all,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::members::Members;

const WRITERS: usize = 4;

/// What a writer learnt: keys with the revision that wrote them, and the longest time between two
/// acknowledged writes.
#[derive(Default)]
struct Written {
    acknowledged: BTreeMap<String, Revision>,
    open: Vec<String>,
    gap: Duration,
}

/// What writers share: whether to stop, when any of them got on last, the longest time none did.
struct Progress {
    stop: AtomicBool,
    last: Mutex<(Instant, Duration)>,
}

impl Progress {
    fn made(&self) {
        let mut last = self.last.lock().unwrap();
        *last = (Instant::now(), last.1.max(last.0.elapsed()));
    }
}

async fn write(store: Arc<EtcdStore>, name: usize, progress: Arc<Progress>) -> Written {
    let mut written = Written::default();
    let (mut last, mut number) = (Instant::now(), 0);
    while !progress.stop.load(Ordering::Relaxed) {
        let key = format!("w/{name}/{number:06}");
        number += 1;
        let txn = Txn::of([Op::put(key.clone(), key.clone())]).when(Compare::absent(key.clone()));
        match store.txn(txn).await {
            Ok(answer) => {
                assert!(answer.succeeded, "{key} was there before it was written");
                written.acknowledged.insert(key, answer.revision);
                written.gap = written.gap.max(last.elapsed());
                last = Instant::now();
                progress.made();
            }
            Err(StoreError::Uncertain { .. }) => written.open.push(key),
            Err(error) => assert!(error.retryable(), "{error:?}"),
        }
    }
    written
}

/// Every put below `w/` with its revision, until the one to `w/end`; fails when told twice.
fn follow(store: Arc<EtcdStore>) -> JoinHandle<BTreeMap<String, Revision>> {
    tokio::spawn(async move {
        let (mut seen, mut reached) = (BTreeMap::new(), Revision::ZERO);
        let mut stream = store.watch(WatchRequest::prefix("w/", Revision(1))).await.unwrap();
        loop {
            let batch = stream.next().await.unwrap().unwrap();
            assert!(batch.revision > reached, "{} after {reached}", batch.revision);
            reached = batch.revision;
            for event in batch.events {
                assert_eq!(event.kind, EventKind::Put);
                let key = String::from_utf8(event.kv.key.to_vec()).unwrap();
                if key == "w/end" {
                    return seen;
                }
                let twice = seen.insert(key.clone(), event.kv.mod_revision);
                assert!(twice.is_none(), "{key} was told twice");
            }
        }
    })
}

/// Runs writers and a watch while `harm` does something to the members.
async fn survive(members: &mut Members, prefix: &str, harm: impl AsyncFnOnce(&mut Members)) {
    let store = Arc::new(members.open(prefix).await);
    let last = Mutex::new((Instant::now(), Duration::ZERO));
    let progress = Arc::new(Progress { stop: AtomicBool::new(false), last });
    let watched = follow(Arc::clone(&store));
    let writers: Vec<_> = (0..WRITERS)
        .map(|name| tokio::spawn(write(Arc::clone(&store), name, Arc::clone(&progress))))
        .collect();
    harm(members).await;
    progress.stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut open, mut gap) = (BTreeMap::new(), Vec::new(), Duration::ZERO);
    for writer in writers {
        let written = writer.await.unwrap();
        acknowledged.extend(written.acknowledged);
        open.extend(written.open);
        gap = gap.max(written.gap);
    }
    loop {
        if store.txn(Txn::of([Op::put("w/end", "")])).await.is_ok() {
            break;
        }
    }
    let seen = timeout(Duration::from_secs(60), watched).await.expect("the watch ends").unwrap();
    let (_, stored) = read_all(&*store, KeyRange::prefix("w/")).await.unwrap();
    let stored: BTreeMap<_, _> = stored
        .into_iter()
        .map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv.mod_revision))
        .filter(|(key, _)| key != "w/end")
        .collect();
    for (key, revision) in &acknowledged {
        assert_eq!(stored.get(key), Some(revision), "an acknowledged write is lost");
    }
    for key in stored.keys() {
        assert!(acknowledged.contains_key(key) || open.contains(key), "{key} was refused");
    }
    assert_eq!(seen, stored, "the watch told something else than is stored");
    eprintln!(
        "{prefix} {} acknowledged, {} open, 0 lost; longest time without a write {} ms, of one \
         writer {} ms",
        acknowledged.len(),
        open.len(),
        progress.last.lock().unwrap().1.as_millis(),
        gap.as_millis()
    );
}

/// Waits until the writers have got on by so many revisions.
async fn get_on(members: &Members, prefix: &str, revisions: u64) {
    let store = members.open(prefix).await;
    let begun = Instant::now();
    let mut start = None;
    loop {
        if let Ok(status) = store.status().await {
            let start = *start.get_or_insert(status.revision.0);
            if status.revision.0 >= start + revisions {
                return;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "writes did not go on in 60 s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_is_killed_under_writes() {
    let Some(mut members) = Members::start(3) else { return };
    survive(&mut members, "kill/", async |members: &mut Members| {
        get_on(members, "kill/", 200).await;
        // The leader, then each, so that the one the watch listens to is among them.
        for victim in [members.leader().await, 0, 1, 2] {
            members.kill(victim);
            get_on(members, "kill/", 200).await;
            members.run(victim);
            get_on(members, "kill/", 200).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_is_frozen_under_writes() {
    let Some(mut members) = Members::start(3) else { return };
    survive(&mut members, "freeze/", async |members: &mut Members| {
        get_on(members, "freeze/", 200).await;
        for _ in 0..3 {
            let leader = members.leader().await;
            members.freeze(leader);
            get_on(members, "freeze/", 200).await;
            members.thaw(leader);
            get_on(members, "freeze/", 200).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_was_away_too_long_has_to_list_again() {
    let Some(mut members) = Members::start(1) else { return };
    let store = Arc::new(members.open("away/").await);
    let first = store.txn(Txn::of([Op::put("k", "1")])).await.unwrap().revision;
    let mut stream = store.watch(WatchRequest::prefix("k", first)).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().revision, first);
    // The store we watch with sees no more of it, another one does.
    let mut elsewhere = members.options("away/");
    elsewhere.endpoints = vec!["http://127.0.0.1:9".to_owned()];
    store.reconfigure(elsewhere).await.unwrap();
    members.kill(0);
    members.run(0);
    let other = members.open("away/").await;
    other.txn(Txn::of([Op::delete("k")])).await.unwrap();
    let last = other.txn(Txn::of([Op::put("other", "x")])).await.unwrap().revision;
    other.compact(last).await.unwrap();
    store.reconfigure(members.options("away/")).await.unwrap();
    let item = timeout(Duration::from_secs(20), stream.next()).await.expect("it ends").unwrap();
    assert!(item.unwrap_err().must_relist());
    // From there it goes on.
    let (at, all) = read_all(&*store, KeyRange::prefix("k")).await.unwrap();
    assert!(all.is_empty());
    let mut stream = store.watch(WatchRequest::prefix("k", at.next())).await.unwrap();
    let again = store.txn(Txn::of([Op::put("k", "2")])).await.unwrap().revision;
    let batch = timeout(Duration::from_secs(20), stream.next()).await.expect("it goes on");
    assert_eq!(batch.unwrap().unwrap().revision, again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_member_nothing_is_claimed() {
    let Some(mut members) = Members::start(1) else { return };
    let store = members.open("gone/").await;
    store.txn(Txn::of([Op::put("k", "v")])).await.unwrap();
    members.kill(0);
    let error = store.txn(Txn::of([Op::put("k", "w")])).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Unavailable { .. } | StoreError::Uncertain { .. }),
        "{error:?}"
    );
    let error = store.get(b"k", None).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    // It is there again with the member, through the same object.
    members.run(0);
    let begun = Instant::now();
    while store.get(b"k", None).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not back in 60 s");
    }
}
