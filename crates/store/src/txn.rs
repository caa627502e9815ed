//! Transactions as values: compares, then one of two lists of operations, all at one revision.
//! The shape is that of etcd's v3 API (its `TxnRequest`), so that nothing is lost in translation.

use bytes::Bytes;

use crate::{KeyRange, KeyValue, LeaseId, Revision};

/// What of a key is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The revision that last wrote it; zero when absent.
    ModRevision(Revision),
    /// The revision that made it; zero when absent.
    CreateRevision(Revision),
    /// How often it was written since it was made; zero when absent.
    Version(u64),
    /// Its value. On an absent key no comparison of values holds, not even `NotEqual`, as in etcd.
    Value(Bytes),
}

/// How what is there must stand to what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Different.
    NotEqual,
    /// What is there is greater; values go by byte order.
    Greater,
    /// What is there is less; values go by byte order.
    Less,
}

/// One condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key looked at.
    pub key: Bytes,
    /// How it must stand to `target`.
    pub relation: Relation,
    /// What it is compared with.
    pub target: Target,
}

impl Compare {
    /// The key does not exist.
    #[must_use]
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self::equal(key, Target::CreateRevision(Revision::ZERO))
    }

    /// The key exists.
    #[must_use]
    pub fn exists(key: impl Into<Bytes>) -> Self {
        let target = Target::CreateRevision(Revision::ZERO);
        Self { key: key.into(), relation: Relation::NotEqual, target }
    }

    /// The key was last written at `revision`; zero: it does not exist.
    #[must_use]
    pub fn unchanged_since(key: impl Into<Bytes>, revision: Revision) -> Self {
        Self::equal(key, Target::ModRevision(revision))
    }

    /// The key exists and holds `value`.
    #[must_use]
    pub fn value(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::equal(key, Target::Value(value.into()))
    }

    fn equal(key: impl Into<Bytes>, target: Target) -> Self {
        Self { key: key.into(), relation: Relation::Equal, target }
    }
}

/// One operation of a transaction. Reads see the writes before them in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
        /// The lease it goes with from now on; none takes it out of the one it had.
        lease: Option<LeaseId>,
    },
    /// Removes a key, if it is there.
    Delete(Bytes),
    /// Removes every key in a range, at most [`MAX_DELETES`](crate::limits::MAX_DELETES).
    DeleteRange(KeyRange),
    /// Reads a key.
    Get(Bytes),
    /// Reads a page of a range.
    Range {
        /// What to read.
        range: KeyRange,
        /// At most so many keys; see [`Store::range`](crate::Store::range).
        limit: usize,
    },
}

impl Op {
    /// Writes a key that goes with no lease.
    #[must_use]
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete(key.into())
    }

    /// Removes every key that begins with `prefix`.
    #[must_use]
    pub fn delete_prefix(prefix: impl Into<Bytes>) -> Self {
        Self::DeleteRange(KeyRange::prefix(prefix))
    }

    /// Reads a key.
    #[must_use]
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get(key.into())
    }
}

/// Conditions and what to do when all of them hold, or otherwise. All of it happens at once, at one
/// revision; the order of operations is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none holds always.
    pub compares: Vec<Compare>,
    /// Done when every condition holds.
    pub then: Vec<Op>,
    /// Done when one does not.
    pub otherwise: Vec<Op>,
}

impl Txn {
    /// A transaction without conditions.
    #[must_use]
    pub fn of(ops: impl IntoIterator<Item = Op>) -> Self {
        Self { then: ops.into_iter().collect(), ..Self::default() }
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation for when all conditions hold.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// Adds an operation for when one condition does not hold.
    #[must_use]
    pub fn otherwise(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }
}

/// What one operation gave, in the place of the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Of a put: the key as it was before.
    Put {
        /// None when it did not exist.
        prev: Option<KeyValue>,
    },
    /// Of a delete: what was removed, in key order.
    Deleted {
        /// The keys as they were.
        prev: Vec<KeyValue>,
    },
    /// Of a get.
    Got(Option<KeyValue>),
    /// Of a range.
    Page {
        /// In key order.
        kvs: Vec<KeyValue>,
        /// Whether the range holds more behind the last of them.
        more: bool,
    },
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether every condition held.
    pub succeeded: bool,
    /// The revision of the store right after: the transaction's own if it changed anything.
    pub revision: Revision,
    /// One result for each operation done.
    pub results: Vec<OpResult>,
}
