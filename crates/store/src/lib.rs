//! The state store: one trait over bytes with memory, SQLite and etcd backends.
//!
//! [`Store`] is shaped so that etcd's v3 API fits it exactly: multi-version reads, transactions of
//! compares and operations at one revision, watches from a revision, leases, compaction. What the
//! backends share (the meaning of a transaction, watches, limits, leases) stands here once; a
//! backend only keeps tables. What the bytes mean is not this crate's business, but for
//! [`document`], the frame all stored documents have, and [`backup`], which moves them.

pub mod backup;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod document;
mod error;
pub mod etcd;
mod evaluate;
mod hub;
mod ids;
mod lease;
pub mod limits;
pub mod memory;
mod range;
mod record;
pub mod sqlite;
mod store;
mod txn;

pub use error::{Cause, Fault, Relist, StoreError};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls};
pub use ids::{BadIdentity, Identity, LeaseId, Revision};
pub use memory::MemoryStore;
pub use range::KeyRange;
pub use record::{Event, EventKind, KeyValue};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use store::{
    Got, LeaseGrant, Page, Status, Store, WatchBatch, WatchRequest, WatchStream, read_all,
};
pub use txn::{Compare, Op, OpResult, Relation, Target, Txn, TxnAnswer};
