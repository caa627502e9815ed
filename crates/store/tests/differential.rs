//! Random operations give equal answers from memory, from SQLite and from a model that keeps a
//! whole copy of every state; watches from the beginning tell exactly how the states differ.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod model;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use store::clock::ManualClock;
use store::{
    Compare, Got, KeyRange, LeaseId, MemoryStore, Op, Page, Relation, Revision, SqliteOptions,
    SqliteStore, Store, StoreError, Target, Txn, WatchRequest,
};

use self::model::Model;

#[derive(Clone, Debug)]
enum Step {
    Txn(Txn),
    Get(Vec<u8>, u64),
    Range(KeyRange, usize, u64),
    Compact(u64),
    Grant,
    Revoke(u64),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["a", "ab", "abc", "b", "ba", "\u{0}", "c"])
        .prop_map(|key| key.as_bytes().to_vec())
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        key().prop_map(KeyRange::prefix),
        (key(), key()).prop_map(|(start, end)| KeyRange::between(start, end)),
        Just(KeyRange::all()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let value = || prop::collection::vec(0u8..3, 0..3);
    prop_oneof![
        4 => (key(), value(), prop::option::weighted(0.3, 1u64..4)).prop_map(|(key, value, lease)| {
            Op::Put { key: key.into(), value: value.into(), lease: lease.map(LeaseId) }
        }),
        1 => key().prop_map(Op::delete),
        1 => range().prop_map(Op::DeleteRange),
        1 => key().prop_map(Op::get),
        2 => (range(), 0usize..4).prop_map(|(range, limit)| Op::Range { range, limit }),
    ]
}

fn compare() -> impl Strategy<Value = Compare> {
    let relation = prop::sample::select(vec![
        Relation::Equal,
        Relation::NotEqual,
        Relation::Greater,
        Relation::Less,
    ]);
    let target = prop_oneof![
        (0u64..20).prop_map(|rev| Target::ModRevision(Revision(rev))),
        (0u64..20).prop_map(|rev| Target::CreateRevision(Revision(rev))),
        (0u64..4).prop_map(Target::Version),
        prop::collection::vec(0u8..3, 0..3).prop_map(|value| Target::Value(value.into())),
    ];
    (key(), relation, target).prop_map(|(key, relation, target)| Compare {
        key: key.into(),
        relation,
        target,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let ops = || prop::collection::vec(op(), 0..4);
    let txn = (prop::collection::vec(compare(), 0..2), ops(), ops())
        .prop_map(|(compares, then, otherwise)| Step::Txn(Txn { compares, then, otherwise }));
    prop_oneof![
        8 => txn,
        2 => (key(), 0u64..40).prop_map(|(key, at)| Step::Get(key, at)),
        2 => (range(), 0usize..5, 0u64..40).prop_map(|(range, limit, at)| {
            Step::Range(range, limit, at)
        }),
        1 => (0u64..40).prop_map(Step::Compact),
        1 => Just(Step::Grant),
        1 => (1u64..4).prop_map(Step::Revoke),
    ]
}

/// An answer in a form that can be compared: errors by their text.
type Answer = Result<String, String>;

fn shown<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Answer {
    answer.map(|value| format!("{value:?}")).map_err(|error| error.to_string())
}

async fn ask(store: &dyn Store, step: &Step) -> Answer {
    let at = |at: u64| Some(Revision(at));
    match step {
        Step::Txn(txn) => shown(store.txn(txn.clone()).await),
        Step::Get(key, rev) => shown(store.get(key, at(*rev)).await),
        Step::Range(range, limit, rev) => shown(store.range(range, *limit, at(*rev)).await),
        Step::Compact(rev) => shown(store.compact(Revision(*rev)).await),
        Step::Grant => shown(store.lease_grant(Duration::from_secs(60)).await.map(|l| l.id)),
        Step::Revoke(id) => shown(store.lease_revoke(LeaseId(*id)).await),
    }
}

fn ask_model(model: &mut Model, step: &Step) -> Answer {
    match step {
        Step::Txn(txn) => shown(model.txn(txn)),
        Step::Get(key, rev) => shown(
            model
                .at(*rev)
                .map(|state| Got { kv: state.get(&key[..]).cloned(), revision: model.revision }),
        ),
        Step::Range(range, limit, rev) => shown(model.at(*rev).map(|state| {
            let (kvs, more) = model::page(state, range, *limit);
            Page { kvs, more, revision: model.revision }
        })),
        Step::Compact(rev) => shown(model.compact(Revision(*rev))),
        Step::Grant => shown(Ok::<_, StoreError>(model.grant())),
        Step::Revoke(id) => shown(model.revoke(LeaseId(*id))),
    }
}

/// What a watch from `from` tells, up to where the store stands.
async fn watched(store: &dyn Store, from: Revision, until: Revision) -> Answer {
    let mut stream = store.watch(WatchRequest::prefix("", from)).await.unwrap();
    let mut seen = String::new();
    let mut reached = Revision(from.0.saturating_sub(1));
    while reached < until {
        match stream.next().await.expect("a watch ends with an error") {
            Ok(batch) => {
                seen.extend(batch.events.iter().map(|event| format!("{event:?}\n")));
                reached = batch.revision;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(seen)
}

async fn compare_all(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let memory = MemoryStore::with_clock(clock.clone());
    let path = directory.path().join("db");
    let options = || SqliteOptions { clock: clock.clone(), ..SqliteOptions::default() };
    let mut sqlite = SqliteStore::open(&path, options()).await.unwrap();
    let mut model = Model::default();
    for (index, step) in steps.iter().enumerate() {
        let wanted = ask_model(&mut model, step);
        prop_assert_eq!(ask(&memory, step).await, wanted.clone(), "memory: {:?}", step);
        prop_assert_eq!(ask(&sqlite, step).await, wanted, "sqlite: {:?}", step);
        if index == steps.len() / 2 {
            sqlite.close().await.unwrap();
            sqlite = SqliteStore::open(&path, options()).await.unwrap();
        }
    }
    for from in [Revision(1), model.compacted, model.compacted.next(), model.revision] {
        let wanted = model.watched(from).map_err(|error| error.to_string());
        let until = model.revision;
        prop_assert_eq!(watched(&memory, from, until).await, wanted.clone(), "from {}", from);
        prop_assert_eq!(watched(&sqlite, from, until).await, wanted, "sqlite from {}", from);
    }
    sqlite.verify().await.unwrap();
    sqlite.close().await.unwrap();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_equal(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare_all(steps))?;
    }
}
