//! What every backend refuses, and the checks themselves. The figures are etcd's defaults
//! (`--max-txn-ops`, `--max-request-bytes`), so that what one backend takes all take.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{KeyRange, Op, StoreError, Target, Txn};

/// Compares, or operations of one branch, in a transaction: etcd's default `--max-txn-ops`.
pub const MAX_TXN_OPS: usize = 128;

/// Bytes of a request: 1.5 MiB, etcd's default `--max-request-bytes`. Counted are keys, values and
/// [`REQUEST_OVERHEAD`] for each compare and operation of both branches.
pub const MAX_REQUEST_BYTES: usize = 3 * 512 * 1024;

/// What a compare or operation counts beyond its keys and values. Its encoding in etcd's protocol
/// has at most five nested headers of 6 bytes and two numbers of 11: 52, so what passes here passes
/// there.
pub const REQUEST_OVERHEAD: usize = 64;

/// Bytes of a key. etcd has no such limit; keys are paths of a few names of at most 253 bytes.
pub const MAX_KEY_BYTES: usize = 4 * 1024;

/// Keys one transaction may delete by ranges. With documents of 6 KB: 10,000 × 6 KB = 60 MB held
/// while it runs.
pub const MAX_DELETES: usize = 10_000;

/// Keys on one page, whatever limit was asked for.
pub const MAX_PAGE_KEYS: usize = 10_000;

/// Bytes of keys and values on one page, unless a single key is larger: 16 MiB, ten of the largest
/// values and a quarter second of reading (61 MB took 0.21–0.34 s from etcd).
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Events a watch may have waiting (design: 1,000 events or 4 MiB, then "compacted").
pub const MAX_WATCH_EVENTS: usize = 1_000;

/// Bytes of events, previous values included, that a watch may have waiting.
pub const MAX_WATCH_BYTES: usize = 4 * 1024 * 1024;

/// The longest lease: a year. etcd's own limit is 285 years.
pub const MAX_LEASE_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

/// Refuses a key no store may hold.
///
/// # Errors
/// [`StoreError::EmptyKey`], [`StoreError::KeyTooLong`].
pub fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::EmptyKey);
    }
    check_length(key, MAX_KEY_BYTES)
}

/// Refuses a range whose ends are longer than keys may be.
///
/// # Errors
/// [`StoreError::KeyTooLong`].
pub fn check_range(range: &KeyRange) -> Result<(), StoreError> {
    // One byte more than a key: what comes right after the longest one.
    check_length(&range.start, MAX_KEY_BYTES + 1)?;
    range.end.as_ref().map_or(Ok(()), |end| check_length(end, MAX_KEY_BYTES + 1))
}

fn check_length(key: &[u8], max: usize) -> Result<(), StoreError> {
    if key.len() > max {
        return Err(StoreError::KeyTooLong { bytes: key.len(), max: MAX_KEY_BYTES });
    }
    Ok(())
}

/// Rounds a lease's time to live up to whole seconds, as etcd counts.
///
/// # Errors
/// [`StoreError::LeaseTtl`].
pub fn check_ttl(ttl: Duration) -> Result<Duration, StoreError> {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    if whole == 0 || whole > MAX_LEASE_TTL.as_secs() {
        return Err(StoreError::LeaseTtl { asked_s: whole, max_s: MAX_LEASE_TTL.as_secs() });
    }
    Ok(Duration::from_secs(whole))
}

/// Refuses what no backend would take, before anything is queued or sent.
///
/// # Errors
/// Those of [`check_key`], [`StoreError::TooManyOps`], [`StoreError::RequestTooLarge`],
/// [`StoreError::DuplicateKey`].
pub fn check_txn(txn: &Txn) -> Result<(), StoreError> {
    for (list, ops) in [
        ("compares", txn.compares.len()),
        ("operations", txn.then.len()),
        ("operations", txn.otherwise.len()),
    ] {
        if ops > MAX_TXN_OPS {
            return Err(StoreError::TooManyOps { list, ops, max: MAX_TXN_OPS });
        }
    }
    for compare in &txn.compares {
        check_key(&compare.key)?;
    }
    for op in txn.then.iter().chain(&txn.otherwise) {
        check_op(op)?;
    }
    let bytes = request_bytes(txn);
    if bytes > MAX_REQUEST_BYTES {
        return Err(StoreError::RequestTooLarge { bytes, max: MAX_REQUEST_BYTES });
    }
    check_duplicates(&txn.then)?;
    check_duplicates(&txn.otherwise)
}

/// The size of a transaction as [`MAX_REQUEST_BYTES`] counts it.
#[must_use]
pub fn request_bytes(txn: &Txn) -> usize {
    let compares = txn.compares.iter().map(|compare| {
        let value = if let Target::Value(value) = &compare.target { value.len() } else { 0 };
        compare.key.len() + value
    });
    let range = |range: &KeyRange| range.start.len() + range.end.as_ref().map_or(0, |e| e.len());
    let ops = txn.then.iter().chain(&txn.otherwise).map(|op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete(key) | Op::Get(key) => key.len(),
        Op::DeleteRange(keys) | Op::Range { range: keys, .. } => range(keys),
    });
    compares.chain(ops).map(|bytes| bytes + REQUEST_OVERHEAD).sum()
}

fn check_op(op: &Op) -> Result<(), StoreError> {
    match op {
        Op::Put { key, .. } | Op::Delete(key) | Op::Get(key) => check_key(key),
        Op::DeleteRange(range) | Op::Range { range, .. } => check_range(range),
    }
}

/// etcd's rule: in one branch no key is put twice, none both put and deleted; deletes may overlap.
/// So a revision holds at most one event of a key.
fn check_duplicates(ops: &[Op]) -> Result<(), StoreError> {
    let duplicate =
        |key: &[u8]| StoreError::DuplicateKey { key: String::from_utf8_lossy(key).into_owned() };
    let mut puts = BTreeSet::new();
    for op in ops {
        if let Op::Put { key, .. } = op
            && !puts.insert(&key[..])
        {
            return Err(duplicate(key));
        }
    }
    for op in ops {
        let hit = match op {
            Op::Delete(key) => puts.get(&key[..]).copied(),
            Op::DeleteRange(range) => {
                puts.range(&range.start[..]..).next().copied().filter(|key| range.contains(key))
            }
            _ => None,
        };
        if let Some(key) = hit {
            return Err(duplicate(key));
        }
    }
    Ok(())
}
