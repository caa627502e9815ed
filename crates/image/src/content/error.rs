//! What can go wrong in the content store.

use std::io;

use crate::content::UploadId;
use crate::digest::Digest;
use crate::scratch;

/// Why the content store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store has no such blob.
    #[error("reading blob {0}: it is not in the store")]
    NotFound(Digest),
    /// The blob's bytes are not those it was stored for: the disk or somebody changed them.
    #[error(
        "verifying blob {digest}: its content now has digest {found}; hint: delete and push it"
    )]
    Corrupt {
        /// The blob's name.
        digest: Digest,
        /// What its bytes hash to.
        found: Digest,
    },
    /// What was written is not what the writer said it would be.
    #[error("storing blob {expected}: the {length} bytes received have digest {found}")]
    Mismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
        /// How many bytes came.
        length: u64,
    },
    /// The blob is larger than the caller is ready to hold in memory.
    #[error("reading blob {digest}: its {size} bytes are over the limit of {limit}")]
    TooLarge {
        /// The blob's name.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// A range starts behind the blob's end.
    #[error("reading blob {digest}: the range starts at {start}, but the blob has {size} bytes")]
    Range {
        /// The blob's name.
        digest: Digest,
        /// The first byte wanted.
        start: u64,
        /// The blob's size in bytes.
        size: u64,
    },
    /// There is no such upload: never started, finished, cancelled or expired.
    #[error("continuing upload {0}: there is no such upload")]
    NoUpload(UploadId),
    /// Another request is writing this upload right now.
    #[error("continuing upload {0}: another request is writing it")]
    UploadBusy(UploadId),
    /// The disk, the quota or the file size limit is used up. What an upload had before is kept.
    #[error("{doing}: no space left; hint: free space on the file system, then try again")]
    DiskFull {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The system refused something else.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl ContentError {
    /// Wraps a system error, telling a full disk from the rest.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| {
            if scratch::is_full(&source) {
                Self::DiskFull { doing, source }
            } else {
                Self::Io { doing, source }
            }
        }
    }

    /// Whether trying again later, unchanged, may succeed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::UploadBusy(_) | Self::DiskFull { .. } | Self::Io { .. })
    }
}
