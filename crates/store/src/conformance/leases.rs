//! Leases: what goes with them, and when.

use std::sync::Arc;
use std::time::Duration;

use super::steps::{get, put, run, stand};
use super::watches::next_events;
use crate::{EventKind, Fault, LeaseId, Op, Store, StoreError, Txn, WatchRequest};

const LONG: Duration = Duration::from_secs(600);

fn leased(key: &'static str, lease: LeaseId) -> Op {
    Op::Put { key: key.into(), value: "v".into(), lease: Some(lease) }
}

pub(super) async fn keys_go_with_a_revoked_lease(store: Arc<dyn Store>) {
    let lease = store.lease_grant(LONG).await.expect("grant");
    assert!(lease.ttl >= LONG);
    let before = stand(&*store).await;
    let answer = run(&*store, Txn::of([leased("l/1", lease.id), leased("l/2", lease.id)])).await;
    assert_eq!(answer.revision, before.next(), "a grant makes no revision");
    put(&*store, "free", "v").await;
    assert_eq!(get(&*store, "l/1").await.expect("the key is there").lease, Some(lease.id));
    assert_eq!(store.lease_keep_alive(lease.id).await.expect("renew"), lease.ttl);
    let left = store.lease_left(lease.id).await.expect("left");
    assert!(left <= lease.ttl && left > lease.ttl / 2);

    let mut stream =
        store.watch(WatchRequest::prefix("l/", answer.revision.next())).await.expect("watch");
    let revision = store.lease_revoke(lease.id).await.expect("revoke");
    let batch = next_events(&mut stream).await;
    assert_eq!((batch.revision, batch.events.len()), (revision, 2), "all at one revision");
    assert!(batch.events.iter().all(|event| event.kind == EventKind::Delete));
    assert_eq!(get(&*store, "l/1").await, None);
    assert!(get(&*store, "free").await.is_some());

    let empty = store.lease_grant(LONG).await.expect("grant");
    assert_ne!(empty.id, lease.id, "no lease is named twice");
    assert_eq!(store.lease_revoke(empty.id).await.expect("revoke"), revision);
}

pub(super) async fn keys_go_with_an_expired_lease(store: Arc<dyn Store>) {
    let lease = store.lease_grant(Duration::from_millis(300)).await.expect("grant");
    assert!(lease.ttl >= Duration::from_secs(1), "whole seconds, rounded up");
    let answer = run(&*store, Txn::of([leased("l/1", lease.id), leased("l/2", lease.id)])).await;
    let mut stream =
        store.watch(WatchRequest::prefix("l/", answer.revision.next())).await.expect("watch");
    let batch = next_events(&mut stream).await;
    assert_eq!((batch.revision, batch.events.len()), (answer.revision.next(), 2));
    assert!(batch.events.iter().all(|event| event.kind == EventKind::Delete));
    let error = store.lease_keep_alive(lease.id).await.expect_err("it has expired");
    assert!(matches!(error, StoreError::LeaseNotFound(id) if id == lease.id));
}

pub(super) async fn a_put_moves_a_key_between_leases(store: Arc<dyn Store>) {
    let one = store.lease_grant(LONG).await.expect("grant").id;
    let two = store.lease_grant(LONG).await.expect("grant").id;
    run(&*store, Txn::of([leased("moved", one), leased("freed", one), leased("stays", one)])).await;
    run(&*store, Txn::of([leased("moved", two), Op::put("freed", "v")])).await;
    store.lease_revoke(one).await.expect("revoke");
    assert!(get(&*store, "moved").await.is_some());
    assert!(get(&*store, "freed").await.is_some_and(|kv| kv.lease.is_none()));
    assert_eq!(get(&*store, "stays").await, None);
    store.lease_revoke(two).await.expect("revoke");
    assert_eq!(get(&*store, "moved").await, None);
}

pub(super) async fn unknown_leases_are_refused(store: Arc<dyn Store>) {
    let id = store.lease_grant(LONG).await.expect("grant").id;
    store.lease_revoke(id).await.expect("revoke");
    let before = stand(&*store).await;
    let refused = [
        store.txn(Txn::of([Op::put("k", "v"), leased("l", id)])).await.map(drop),
        store.lease_keep_alive(id).await.map(drop),
        store.lease_left(id).await.map(drop),
        store.lease_revoke(id).await.map(drop),
    ];
    for answer in refused {
        let error = answer.expect_err("the lease is gone");
        assert!(matches!(error, StoreError::LeaseNotFound(gone) if gone == id), "{error:?}");
        assert_eq!(error.fault(), Fault::Conflict);
    }
    assert_eq!(get(&*store, "k").await, None);
    assert_eq!(stand(&*store).await, before);
    let zero = store.lease_grant(Duration::ZERO).await;
    assert!(matches!(zero, Err(StoreError::LeaseTtl { .. })), "{zero:?}");
    // Only the branch that is taken needs its leases.
    let txn = Txn::of([Op::put("k", "v")]).otherwise(leased("l", id));
    assert!(run(&*store, txn).await.succeeded);
}
