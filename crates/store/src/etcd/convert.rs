//! Our transactions, keys and answers in etcd's words and back. Pure.

use bytes::Bytes;
use etcd_client::{
    Compare as EtcdCompare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn as EtcdTxn,
    TxnOp, TxnOpResponse,
};

use super::keyspace::Keyspace;
use crate::evaluate::PageBuilder;
use crate::limits::MAX_PAGE_KEYS;
use crate::{
    Compare, Event, KeyValue, LeaseId, Op, OpResult, Relation, Revision, StoreError, Target, Txn,
};

/// A lease in etcd's numbers. Zero means none there, so ours becomes one that never is.
pub(super) fn lease_number(id: LeaseId) -> i64 {
    i64::try_from(id.0).ok().filter(|&number| number != 0).unwrap_or(i64::MAX)
}

pub(super) fn lease_id(number: i64) -> Option<LeaseId> {
    u64::try_from(number).ok().filter(|&id| id != 0).map(LeaseId)
}

/// etcd's numbers are signed but never negative where we read them.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Ours never pass 2^63: etcd counted them.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn revision(header: Option<&etcd_client::ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| unsigned(header.revision())))
}

/// None for a key of the backend's own.
pub(super) fn key_value(keys: &Keyspace, kv: etcd_client::KeyValue) -> Option<KeyValue> {
    let create_revision = Revision(unsigned(kv.create_revision()));
    let mod_revision = Revision(unsigned(kv.mod_revision()));
    let (version, lease) = (unsigned(kv.version()), lease_id(kv.lease()));
    let (key, value) = kv.into_key_value();
    let key = keys.strip(key)?;
    Some(KeyValue { key, value: Bytes::from(value), create_revision, mod_revision, version, lease })
}

pub(super) fn event(keys: &Keyspace, event: &etcd_client::Event) -> Option<Event> {
    let kv = key_value(keys, event.kv()?.clone())?;
    let prev = event.prev_kv().and_then(|prev| key_value(keys, prev.clone()));
    Some(match event.event_type() {
        etcd_client::EventType::Put => Event::new(kv, prev),
        etcd_client::EventType::Delete => {
            Event::new(KeyValue::tombstone(kv.key, kv.mod_revision), prev)
        }
    })
}

/// `leave_out` says which branches to leave empty: those that would delete too much.
pub(super) fn txn(keys: &Keyspace, txn: &Txn, leave_out: (bool, bool)) -> EtcdTxn {
    let compares: Vec<_> = txn.compares.iter().map(|it| compare(keys, it)).collect();
    let ops = |ops: &[Op], none: bool| -> Vec<_> {
        if none { Vec::new() } else { ops.iter().map(|op| txn_op(keys, op)).collect() }
    };
    EtcdTxn::new()
        .when(compares)
        .and_then(ops(&txn.then, leave_out.0))
        .or_else(ops(&txn.otherwise, leave_out.1))
}

fn compare(keys: &Keyspace, compare: &Compare) -> EtcdCompare {
    let key = keys.key(&compare.key);
    let relation = match compare.relation {
        Relation::Equal => CompareOp::Equal,
        Relation::NotEqual => CompareOp::NotEqual,
        Relation::Greater => CompareOp::Greater,
        Relation::Less => CompareOp::Less,
    };
    match &compare.target {
        Target::ModRevision(given) => EtcdCompare::mod_revision(key, relation, signed(given.0)),
        Target::CreateRevision(given) => {
            EtcdCompare::create_revision(key, relation, signed(given.0))
        }
        Target::Version(given) => EtcdCompare::version(key, relation, signed(*given)),
        Target::Value(given) => EtcdCompare::value(key, relation, given.to_vec()),
    }
}

fn txn_op(keys: &Keyspace, op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let mut options = PutOptions::new().with_prev_key();
            if let Some(lease) = lease {
                options = options.with_lease(lease_number(*lease));
            }
            TxnOp::put(keys.key(key), value.to_vec(), Some(options))
        }
        Op::Delete(key) => TxnOp::delete(keys.key(key), Some(DeleteOptions::new().with_prev_key())),
        Op::Get(key) => TxnOp::get(keys.key(key), None),
        // etcd knows no range that holds nothing.
        Op::DeleteRange(range) if range.is_empty() => {
            TxnOp::delete(keys.nothing(), Some(DeleteOptions::new().with_prev_key()))
        }
        Op::Range { range, .. } if range.is_empty() => TxnOp::get(keys.nothing(), None),
        Op::DeleteRange(range) => {
            let (start, end) = keys.range(range);
            let options = DeleteOptions::new().with_range(end).with_prev_key();
            TxnOp::delete(start, Some(options))
        }
        Op::Range { range, limit } => {
            let (start, end) = keys.range(range);
            let limit = if *limit == 0 { MAX_PAGE_KEYS } else { (*limit).min(MAX_PAGE_KEYS) };
            let options = GetOptions::new().with_range(end).with_limit(signed(limit as u64));
            TxnOp::get(start, Some(options))
        }
    }
}

/// The results of the operations that were done, in their places.
pub(super) fn results(
    keys: &Keyspace,
    ops: &[Op],
    responses: Vec<TxnOpResponse>,
) -> Result<Vec<OpResult>, StoreError> {
    let wrong = || StoreError::Internal {
        what: "run a transaction: etcd answered other operations".to_owned(),
        cause: None,
    };
    if ops.len() != responses.len() {
        return Err(wrong());
    }
    let all =
        |kvs: Vec<etcd_client::KeyValue>| kvs.into_iter().filter_map(|kv| key_value(keys, kv));
    let each = ops.iter().zip(responses).map(|(op, response)| match (op, response) {
        (Op::Put { .. }, TxnOpResponse::Put(mut put)) => {
            let prev = put.take_prev_key().and_then(|prev| key_value(keys, prev));
            Ok(OpResult::Put { prev })
        }
        (Op::Delete(_) | Op::DeleteRange(_), TxnOpResponse::Delete(mut deleted)) => {
            Ok(OpResult::Deleted { prev: all(deleted.take_prev_kvs()).collect() })
        }
        (Op::Get(_), TxnOpResponse::Get(mut got)) => Ok(OpResult::Got(all(got.take_kvs()).next())),
        (Op::Range { limit, .. }, TxnOpResponse::Get(mut got)) => {
            let mut page = PageBuilder::new(*limit);
            page.more = got.more();
            let _ = all(got.take_kvs()).all(|kv| page.push(kv));
            Ok(OpResult::Page { kvs: page.kvs, more: page.more })
        }
        _ => Err(wrong()),
    });
    each.collect()
}
