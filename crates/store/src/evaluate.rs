//! What a transaction means, once for all backends of our own. Pure in all but the tables it is
//! given: no locks, no clock, no SQL.
//!
//! Everything that can refuse a transaction is looked at before its first write, so a refused one
//! needs no undoing.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::limits::{MAX_DELETES, MAX_PAGE_BYTES, MAX_PAGE_KEYS};
use crate::{
    Compare, Event, KeyRange, KeyValue, LeaseId, Op, OpResult, Relation, Revision, StoreError,
    Target, Txn, TxnAnswer,
};

/// Events one revision may have. Backends number them in 20 bits.
pub(crate) const MAX_EVENTS: usize = 1 << 20;

/// The present, as a write transaction of a backend sees it, its own writes included.
pub(crate) trait Tables {
    /// The last revision made.
    fn revision(&self) -> Revision;

    /// A key as it is.
    fn get(&mut self, key: &[u8]) -> Result<Option<KeyValue>, StoreError>;

    /// Fills `page` with the keys of `range` in order, until it takes no more.
    fn range(&mut self, range: &KeyRange, page: &mut PageBuilder) -> Result<(), StoreError>;

    /// Whether a lease lives.
    fn has_lease(&mut self, id: LeaseId) -> Result<bool, StoreError>;

    /// The keys that go with a lease, in order.
    fn leased(&mut self, id: LeaseId) -> Result<Vec<KeyValue>, StoreError>;

    /// Writes down the events of the revision after the last one, which they make.
    fn append(&mut self, events: Vec<Event>) -> Result<(), StoreError>;
}

/// Collects a page of keys within its limits.
#[derive(Debug)]
pub(crate) struct PageBuilder {
    limit: usize,
    max_bytes: usize,
    bytes: usize,
    pub(crate) kvs: Vec<KeyValue>,
    pub(crate) more: bool,
}

impl PageBuilder {
    /// A page as readers get it; `limit` 0 is the largest there is.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = if limit == 0 { MAX_PAGE_KEYS } else { limit.min(MAX_PAGE_KEYS) };
        Self::within(limit, MAX_PAGE_BYTES)
    }

    fn within(limit: usize, max_bytes: usize) -> Self {
        Self { limit, max_bytes, bytes: 0, kvs: Vec::new(), more: false }
    }

    /// Takes a key. False when the page is full without it.
    pub(crate) fn push(&mut self, kv: KeyValue) -> bool {
        let full = self.kvs.len() >= self.limit
            || (!self.kvs.is_empty() && self.bytes + kv.size() > self.max_bytes);
        if full {
            self.more = true;
            return false;
        }
        self.bytes += kv.size();
        self.kvs.push(kv);
        true
    }
}

/// Runs a transaction that has passed [`check_txn`](crate::limits::check_txn).
pub(crate) fn evaluate(tables: &mut dyn Tables, txn: &Txn) -> Result<TxnAnswer, StoreError> {
    let mut succeeded = true;
    for compare in &txn.compares {
        succeeded = succeeded && holds(tables.get(&compare.key)?.as_ref(), compare);
    }
    let ops = if succeeded { &txn.then } else { &txn.otherwise };
    let plan = prepare(tables, ops)?;
    let results = run(tables, ops, plan)?;
    Ok(TxnAnswer { succeeded, revision: tables.revision(), results })
}

/// Removes the keys of a lease, at one revision (or, past a million keys, as few as can be).
pub(crate) fn drop_leased(tables: &mut dyn Tables, id: LeaseId) -> Result<(), StoreError> {
    let mut doomed = tables.leased(id)?.into_iter().peekable();
    while doomed.peek().is_some() {
        let revision = tables.revision().next();
        let part = doomed.by_ref().take(MAX_EVENTS);
        let events = part.map(|kv| removal(kv, revision)).collect();
        tables.append(events)?;
    }
    Ok(())
}

fn removal(kv: KeyValue, revision: Revision) -> Event {
    Event::new(KeyValue::tombstone(kv.key.clone(), revision), Some(kv))
}

fn holds(kv: Option<&KeyValue>, compare: &Compare) -> bool {
    let order = match &compare.target {
        Target::ModRevision(given) => kv.map_or(Revision::ZERO, |kv| kv.mod_revision).cmp(given),
        Target::CreateRevision(given) => {
            kv.map_or(Revision::ZERO, |kv| kv.create_revision).cmp(given)
        }
        Target::Version(given) => kv.map_or(0, |kv| kv.version).cmp(given),
        Target::Value(given) => match kv {
            Some(kv) => kv.value.cmp(given),
            None => return false,
        },
    };
    match compare.relation {
        Relation::Equal => order == Ordering::Equal,
        Relation::NotEqual => order != Ordering::Equal,
        Relation::Greater => order == Ordering::Greater,
        Relation::Less => order == Ordering::Less,
    }
}

/// What the deletes among `ops` will remove, in the order of the deletes; the check of everything
/// else that can still refuse.
fn prepare(tables: &mut dyn Tables, ops: &[Op]) -> Result<Vec<Vec<KeyValue>>, StoreError> {
    let mut plan = Vec::new();
    let mut gone: BTreeSet<Bytes> = BTreeSet::new();
    for op in ops {
        let found = match op {
            Op::Put { lease: Some(id), .. } if !tables.has_lease(*id)? => {
                return Err(StoreError::LeaseNotFound(*id));
            }
            Op::Delete(key) => tables.get(key)?.into_iter().collect(),
            Op::DeleteRange(range) => {
                let mut page = PageBuilder::within(MAX_DELETES, usize::MAX);
                tables.range(range, &mut page)?;
                if page.more {
                    return Err(StoreError::TooManyDeletes { max: MAX_DELETES });
                }
                page.kvs
            }
            _ => continue,
        };
        // What an earlier delete removed is not there for a later one.
        plan.push(found.into_iter().filter(|kv| gone.insert(kv.key.clone())).collect());
    }
    if gone.len() > MAX_DELETES {
        return Err(StoreError::TooManyDeletes { max: MAX_DELETES });
    }
    Ok(plan)
}

fn run(
    tables: &mut dyn Tables,
    ops: &[Op],
    plan: Vec<Vec<KeyValue>>,
) -> Result<Vec<OpResult>, StoreError> {
    let revision = tables.revision().next();
    let mut plan = plan.into_iter();
    let mut events = Vec::new();
    let mut results = Vec::with_capacity(ops.len());
    for op in ops {
        results.push(match op {
            Op::Put { key, value, lease } => {
                let prev = tables.get(key)?;
                let kv = KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                    create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
                    mod_revision: revision,
                    version: prev.as_ref().map_or(0, |prev| prev.version) + 1,
                    lease: *lease,
                };
                events.push(Event::new(kv, prev.clone()));
                OpResult::Put { prev }
            }
            Op::Delete(_) | Op::DeleteRange(_) => {
                let prev = plan.next().expect("prepare planned every delete");
                events.extend(prev.iter().cloned().map(|kv| removal(kv, revision)));
                OpResult::Deleted { prev }
            }
            Op::Get(key) => OpResult::Got(overlaid(tables, &events, key)?),
            Op::Range { range, limit } => {
                let page = overlaid_range(tables, &events, range, *limit)?;
                OpResult::Page { kvs: page.kvs, more: page.more }
            }
        });
    }
    if !events.is_empty() {
        tables.append(events)?;
    }
    Ok(results)
}

/// A key as the operations so far leave it.
fn overlaid(
    tables: &mut dyn Tables,
    events: &[Event],
    key: &[u8],
) -> Result<Option<KeyValue>, StoreError> {
    match events.iter().find(|event| event.kv.key == key) {
        Some(event) => Ok(Some(event.kv.clone()).filter(|kv| !kv.is_tombstone())),
        None => tables.get(key),
    }
}

/// A page of a range as the operations so far leave it: what they wrote merged over what is there.
fn overlaid_range(
    tables: &mut dyn Tables,
    events: &[Event],
    range: &KeyRange,
    limit: usize,
) -> Result<PageBuilder, StoreError> {
    let mut page = PageBuilder::new(limit);
    let mut written: Vec<&KeyValue> =
        events.iter().map(|event| &event.kv).filter(|kv| range.contains(&kv.key)).collect();
    if written.is_empty() {
        tables.range(range, &mut page)?;
        return Ok(page);
    }
    written.sort_by(|a, b| a.key.cmp(&b.key));
    // Enough of what is there that, whatever the writes hide of it, the page can still be filled.
    let mut below = PageBuilder::within(page.limit + written.len() + 1, usize::MAX);
    tables.range(range, &mut below)?;
    let hidden: BTreeSet<&[u8]> = written.iter().map(|kv| &kv.key[..]).collect();
    let below = below.kvs.into_iter().filter(|kv| !hidden.contains(&kv.key[..]));
    let mut merged: Vec<KeyValue> =
        written.iter().filter(|kv| !kv.is_tombstone()).map(|kv| (*kv).clone()).collect();
    merged.extend(below);
    merged.sort_by(|a, b| a.key.cmp(&b.key));
    for kv in merged {
        if !page.push(kv) {
            break;
        }
    }
    Ok(page)
}
