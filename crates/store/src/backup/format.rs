//! The lines of a backup, and what can be wrong with them.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_KEY_BYTES, MAX_REQUEST_BYTES};
use crate::{Identity, Revision, StoreError};

/// The first field of every backup.
pub(super) const FORMAT: &str = "freehold-backup";

/// The version written; later ones are refused.
pub(super) const VERSION: u32 = 1;

/// The longest line: a request's worth of key and value, each a third longer in base64, and 1 KiB
/// for the names and marks around them.
pub(super) const MAX_LINE_BYTES: usize = (MAX_REQUEST_BYTES + MAX_KEY_BYTES) / 3 * 4 + 1024;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The store it was taken from.
    pub identity: Identity,
    /// The revision at which it was taken.
    pub revision: Revision,
    /// How many keys it holds.
    pub keys: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) identity: Identity,
    pub(super) revision: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Base64, as keys need not be text.
    pub(super) key: String,
    /// Base64.
    pub(super) value: String,
}

impl Entry {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        Self { key: BASE64.encode(key), value: BASE64.encode(value) }
    }

    pub(super) fn decode(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let key = BASE64.decode(self.key.as_bytes()).ok()?;
        Some((key, BASE64.decode(self.value.as_bytes()).ok()?))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) keys: u64,
    pub(super) sha256: String,
}

/// Why no backup was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store could not be read; [`StoreError::Compacted`] when a compaction overtook the
    /// backup: take it again.
    #[error("read the store for a backup")]
    Store(#[source] StoreError),
    /// The store holds a part of a backup only: a restore into it was cut off.
    #[error("back up the store: a restore into it was not finished; restore again")]
    Unfinished,
    /// The backup could not be written.
    #[error("write the backup")]
    Write(#[source] std::io::Error),
}
