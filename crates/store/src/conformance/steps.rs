//! Steps that cases are made of; each panics when the store refuses it.

use crate::{Got, KeyValue, Op, Revision, Store, Txn, TxnAnswer};

pub(super) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    let txn = Txn::of([Op::put(key.to_owned(), value.to_owned())]);
    store.txn(txn).await.expect("put").revision
}

pub(super) async fn delete(store: &dyn Store, key: &str) -> Revision {
    store.txn(Txn::of([Op::delete(key.to_owned())])).await.expect("delete").revision
}

pub(super) async fn run(store: &dyn Store, txn: Txn) -> TxnAnswer {
    store.txn(txn).await.expect("transaction")
}

pub(super) async fn get(store: &dyn Store, key: &str) -> Option<KeyValue> {
    let Got { kv, .. } = store.get(key.as_bytes(), None).await.expect("get");
    kv
}

pub(super) async fn value_at(store: &dyn Store, key: &str, at: Revision) -> Option<String> {
    let got = store.get(key.as_bytes(), Some(at)).await.expect("get of the past");
    got.kv.map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

pub(super) async fn stand(store: &dyn Store) -> Revision {
    store.status().await.expect("status").revision
}
