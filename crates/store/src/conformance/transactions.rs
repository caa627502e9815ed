//! Transactions: compares, one revision, limits.

use std::sync::Arc;

use super::steps::{delete, get, put, run, stand};
use crate::limits::{MAX_KEY_BYTES, MAX_REQUEST_BYTES, MAX_TXN_OPS};
use crate::{
    Compare, Fault, KeyRange, Op, OpResult, Relation, Revision, Store, StoreError, Target, Txn,
};

pub(super) async fn one_revision_each(store: Arc<dyn Store>) {
    let before = stand(&*store).await;
    let answer = run(&*store, Txn::of([Op::put("a", "1"), Op::put("b", "2")])).await;
    assert_eq!(answer.revision, before.next());
    let (a, b) = (
        get(&*store, "a").await.expect("the key is there"),
        get(&*store, "b").await.expect("the key is there"),
    );
    assert_eq!((a.mod_revision, b.mod_revision), (answer.revision, answer.revision));
    let again = put(&*store, "a", "3").await;
    assert_eq!(again, before.next().next());
    let a = get(&*store, "a").await.expect("the key is there");
    assert_eq!((a.create_revision, a.mod_revision, a.version), (answer.revision, again, 2));
    let gone = delete(&*store, "a").await;
    assert_eq!(gone, again.next());
    assert_eq!(get(&*store, "a").await, None);
    let anew = put(&*store, "a", "4").await;
    let a = get(&*store, "a").await.expect("the key is there");
    assert_eq!((a.create_revision, a.version), (anew, 1), "a key made anew starts anew");
}

pub(super) async fn compares_decide(store: Arc<dyn Store>) {
    let revision = put(&*store, "k", "m").await;
    let (older, newer) = (Revision(revision.0 - 1), revision.next());
    let numbers = [
        (Relation::Equal, [false, true, false]),
        (Relation::NotEqual, [true, false, true]),
        (Relation::Greater, [true, false, false]),
        (Relation::Less, [false, false, true]),
    ];
    for (relation, wanted) in numbers {
        let targets = [
            [older, revision, newer].map(Target::ModRevision),
            [older, revision, newer].map(Target::CreateRevision),
            [0, 1, 2].map(Target::Version),
            ["l", "m", "n"].map(|value| Target::Value(value.into())),
        ];
        for targets in targets {
            for (target, wanted) in targets.into_iter().zip(wanted) {
                let compare = Compare { key: "k".into(), relation, target };
                let answer = run(&*store, Txn::default().when(compare.clone())).await;
                assert_eq!(answer.succeeded, wanted, "{compare:?}");
            }
        }
    }
    let swap = |from: Revision, to: &'static str| {
        Txn::of([Op::put("k", to)])
            .when(Compare::unchanged_since("k", from))
            .otherwise(Op::get("k"))
    };
    assert!(run(&*store, swap(revision, "x")).await.succeeded);
    let late = run(&*store, swap(revision, "y")).await;
    assert!(!late.succeeded);
    let OpResult::Got(Some(kv)) = &late.results[0] else { panic!("{late:?}") };
    assert_eq!(&kv.value[..], b"x");
}

pub(super) async fn absent_keys_compare_as_zero(store: Arc<dyn Store>) {
    let holds = async |compare: Compare| run(&*store, Txn::default().when(compare)).await.succeeded;
    assert!(holds(Compare::absent("k")).await);
    assert!(!holds(Compare::exists("k")).await);
    assert!(holds(Compare::unchanged_since("k", Revision::ZERO)).await);
    let value = |relation| Compare { key: "k".into(), relation, target: Target::Value("".into()) };
    for relation in [Relation::Equal, Relation::NotEqual, Relation::Less, Relation::Greater] {
        assert!(!holds(value(relation)).await, "no value compares with an absent key's");
    }
    put(&*store, "k", "").await;
    assert!(holds(Compare::exists("k")).await);
    assert!(holds(value(Relation::Equal)).await);
    delete(&*store, "k").await;
    assert!(holds(Compare::absent("k")).await);
}

pub(super) async fn reads_see_writes_before_them(store: Arc<dyn Store>) {
    run(&*store, Txn::of([Op::put("p/a", "old"), Op::put("p/c", "old")])).await;
    let range = |limit| Op::Range { range: KeyRange::prefix("p/"), limit };
    let ops = [
        Op::get("p/b"),
        Op::put("p/b", "new"),
        Op::delete("p/a"),
        Op::get("p/b"),
        range(0),
        range(1),
        Op::put("p/d", "late"),
    ];
    let answer = run(&*store, Txn::of(ops)).await;
    let keys = |index: usize| match &answer.results[index] {
        OpResult::Page { kvs, more } => {
            (kvs.iter().map(|kv| kv.key.clone()).collect::<Vec<_>>(), *more)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(answer.results[0], OpResult::Got(None));
    let OpResult::Got(Some(kv)) = &answer.results[3] else { panic!("{answer:?}") };
    assert_eq!((&kv.value[..], kv.mod_revision), (&b"new"[..], answer.revision));
    assert_eq!(keys(4), (vec!["p/b".into(), "p/c".into()], false));
    assert_eq!(keys(5), (vec!["p/b".into()], true));
}

pub(super) async fn nothing_changed_makes_no_revision(store: Arc<dyn Store>) {
    let before = put(&*store, "k", "v").await;
    assert_eq!(delete(&*store, "nothing").await, before);
    let prefix = run(&*store, Txn::of([Op::delete_prefix("no/")])).await;
    assert_eq!(prefix.revision, before);
    assert_eq!(run(&*store, Txn::of([Op::get("k")])).await.revision, before);
    // A put of what is there already does change: its revision.
    assert_eq!(put(&*store, "k", "v").await, before.next());
}

pub(super) async fn a_key_is_written_once(store: Arc<dyn Store>) {
    put(&*store, "p/a", "1").await;
    let before = stand(&*store).await;
    let refused = [
        vec![Op::put("k", "1"), Op::put("k", "2")],
        vec![Op::put("k", "1"), Op::delete("k")],
        vec![Op::delete("k"), Op::put("k", "1")],
        vec![Op::delete_prefix("p/"), Op::put("p/x", "1")],
    ];
    for ops in refused {
        for txn in [Txn::of(ops.clone()), Txn { otherwise: ops.clone(), ..Txn::default() }] {
            let error = store.txn(txn).await.expect_err("must be refused");
            assert!(matches!(error, StoreError::DuplicateKey { .. }), "{error:?}");
            assert_eq!((error.fault(), error.retryable()), (Fault::User, false));
        }
    }
    assert_eq!(stand(&*store).await, before);
    // Deletes may overlap: what the first removed is not there for the second.
    let answer = run(&*store, Txn::of([Op::delete_prefix("p/"), Op::delete("p/a")])).await;
    let counts = answer.results.iter().map(|result| match result {
        OpResult::Deleted { prev } => prev.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(counts.collect::<Vec<_>>(), [1, 0]);
}

pub(super) async fn limits_refuse(store: Arc<dyn Store>) {
    let before = stand(&*store).await;
    let puts = |count: usize| Txn::of((0..count).map(|n| Op::put(format!("k{n}"), "")));
    let compares = Txn { compares: vec![Compare::absent("k"); MAX_TXN_OPS + 1], ..Txn::default() };
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let refused = [
        (puts(MAX_TXN_OPS + 1), "operations"),
        (compares, "compares"),
        (Txn::of([Op::put("", "v")]), "empty"),
        (Txn::of([Op::put(long, "v")]), "key of"),
        (Txn::of([Op::put("k", vec![0; MAX_REQUEST_BYTES])]), "bytes"),
    ];
    for (txn, word) in refused {
        let error = store.txn(txn).await.expect_err("must be refused");
        assert_eq!((error.fault(), error.retryable()), (Fault::User, false), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(matches!(store.get(b"", None).await, Err(StoreError::EmptyKey)));
    assert_eq!(stand(&*store).await, before, "a refused request changes nothing");
    run(&*store, puts(MAX_TXN_OPS)).await;
    let longest = "k".repeat(MAX_KEY_BYTES);
    let largest = vec![7; MAX_REQUEST_BYTES - MAX_KEY_BYTES - 1024];
    run(&*store, Txn::of([Op::put(longest.clone(), largest.clone())])).await;
    assert_eq!(get(&*store, &longest).await.expect("the key is there").value, largest);
}

pub(super) async fn many_writers_of_one_counter(store: Arc<dyn Store>) {
    let writers = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let now = get(&*store, "counter").await;
                let seen = now.as_ref().map_or(Revision::ZERO, |kv| kv.mod_revision);
                let count = now.map_or(0, |kv| {
                    String::from_utf8_lossy(&kv.value).parse::<u32>().expect("a number")
                });
                let txn = Txn::of([Op::put("counter", (count + 1).to_string())])
                    .when(Compare::unchanged_since("counter", seen));
                done += u32::from(run(&*store, txn).await.succeeded);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer failed");
    }
    assert_eq!(get(&*store, "counter").await.expect("the key is there").value, "80");
    assert_eq!(get(&*store, "counter").await.expect("the key is there").version, 80);
}
