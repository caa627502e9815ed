//! What a store can fail with, who is at fault and whether trying again can help.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{LeaseId, Revision};

/// The error underneath; shared, since one failed commit fails every transaction in it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller asked for something that can never work.
    User,
    /// Something changed under the caller's feet: read again, then decide anew.
    Conflict,
    /// The store cannot be reached or cannot take writes now.
    Unavailable,
    /// The store is broken or wrong.
    Internal,
}

/// Why a client has to read everything again instead of going on from a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relist {
    /// The history asked for has been compacted away.
    History,
    /// The watch did not take its events fast enough and its buffer was full.
    Lagging,
    /// The store has another identity than the one the revision belongs to.
    Identity,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A key is empty.
    #[error("use a key: it is empty")]
    EmptyKey,
    /// A key is longer than [`MAX_KEY_BYTES`](crate::limits::MAX_KEY_BYTES).
    #[error("use a key of {bytes} bytes: at most {max} are allowed")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A list of a transaction is longer than [`MAX_TXN_OPS`](crate::limits::MAX_TXN_OPS).
    #[error("run a transaction with {ops} {list}: at most {max} are allowed")]
    TooManyOps {
        /// Which list: compares or operations.
        list: &'static str,
        /// Its length.
        ops: usize,
        /// The limit.
        max: usize,
    },
    /// A request is larger than [`MAX_REQUEST_BYTES`](crate::limits::MAX_REQUEST_BYTES).
    #[error("run a transaction of {bytes} bytes: at most {max} are allowed")]
    RequestTooLarge {
        /// Its size as the limits count it.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// One branch of a transaction writes a key twice, or writes and deletes it.
    #[error("run a transaction: key {key:?} is written twice, or written and deleted")]
    DuplicateKey {
        /// The key, unreadable bytes replaced.
        key: String,
    },
    /// A transaction deletes more than [`MAX_DELETES`](crate::limits::MAX_DELETES) keys.
    #[error("run a transaction that deletes more than {max} keys: delete in parts")]
    TooManyDeletes {
        /// The limit.
        max: usize,
    },
    /// A revision that has not been yet.
    #[error("read at revision {asked}: the store is at {current}")]
    FutureRevision {
        /// What was asked for.
        asked: Revision,
        /// Where the store stands.
        current: Revision,
    },
    /// The client must read everything again.
    #[error("go on at a revision before {at}: no longer possible ({relist:?}), list again")]
    Compacted {
        /// Reads and watches at this revision and later work, in the present identity.
        at: Revision,
        /// Why.
        relist: Relist,
    },
    /// The lease never was, has expired or was revoked.
    #[error("use lease {0}: there is no such lease")]
    LeaseNotFound(LeaseId),
    /// A lease's time to live is not from one second to
    /// [`MAX_LEASE_TTL`](crate::limits::MAX_LEASE_TTL).
    #[error("grant a lease of {asked_s} s: from 1 to {max_s} s are allowed")]
    LeaseTtl {
        /// What was asked for, in seconds, rounded up.
        asked_s: u64,
        /// The limit in seconds.
        max_s: u64,
    },
    /// No room for a write. Nothing acknowledged is lost; reads go on.
    #[error("write to the store {place}: the disk or its quota is full")]
    DiskFull {
        /// The database.
        place: String,
        /// What the engine said.
        #[source]
        cause: Option<Cause>,
    },
    /// The store cannot be used now.
    #[error("reach the store: {what}")]
    Unavailable {
        /// What is in the way.
        what: String,
        /// What the engine said.
        #[source]
        cause: Option<Cause>,
    },
    /// The answer got lost: the write may or may not have been done. Read before trying again.
    #[error("learn what became of a write: {what}")]
    Uncertain {
        /// What happened.
        what: String,
        /// What the engine said.
        #[source]
        cause: Option<Cause>,
    },
    /// Another process, or this one, has the database open.
    #[error("open the store {}: it is in use by {holder}", path.display())]
    AlreadyOpen {
        /// The database.
        path: PathBuf,
        /// Who has it, as far as known.
        holder: String,
    },
    /// The database is damaged, or is not one of ours.
    #[error("open the store {place}: {what}")]
    Corrupt {
        /// The database.
        place: String,
        /// What is wrong.
        what: String,
        /// What the engine said.
        #[source]
        cause: Option<Cause>,
    },
    /// The database was written by a later version of Freehold.
    #[error("open the store {place}: its format is {found}, this version knows up to {known}")]
    NewerFormat {
        /// The database.
        place: String,
        /// The format found.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// The engine failed in a way it should not.
    #[error("use the store: {what}")]
    Internal {
        /// What was being done.
        what: String,
        /// What the engine said.
        #[source]
        cause: Option<Cause>,
    },
}

impl StoreError {
    /// Whose doing it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::EmptyKey
            | Self::KeyTooLong { .. }
            | Self::TooManyOps { .. }
            | Self::RequestTooLarge { .. }
            | Self::DuplicateKey { .. }
            | Self::TooManyDeletes { .. }
            | Self::LeaseTtl { .. }
            | Self::FutureRevision { .. } => Fault::User,
            Self::Compacted { .. } | Self::LeaseNotFound(_) => Fault::Conflict,
            Self::DiskFull { .. }
            | Self::Unavailable { .. }
            | Self::Uncertain { .. }
            | Self::AlreadyOpen { .. } => Fault::Unavailable,
            Self::Corrupt { .. } | Self::NewerFormat { .. } | Self::Internal { .. } => {
                Fault::Internal
            }
        }
    }

    /// Whether the very same request, sent again later, can succeed and is safe to send: the first
    /// attempt changed nothing. An uncertain write is not: read first.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::DiskFull { .. } | Self::AlreadyOpen { .. })
    }

    /// Whether the client must read everything again and watch from there.
    #[must_use]
    pub fn must_relist(&self) -> bool {
        matches!(self, Self::Compacted { .. })
    }

    /// Whether the engine failed, rather than the request being refused before any write.
    pub(crate) fn is_engine(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::Unavailable { .. }
                | Self::Uncertain { .. }
                | Self::Corrupt { .. }
                | Self::Internal { .. }
        )
    }

    pub(crate) fn closed() -> Self {
        Self::Unavailable { what: "it has been closed".to_owned(), cause: None }
    }

    pub(crate) fn other_identity(at: Revision) -> Self {
        Self::Compacted { at, relist: Relist::Identity }
    }
}
