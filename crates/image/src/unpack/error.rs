//! Why a layer could not be unpacked.

use std::io;

use crate::archive::ArchiveError;
use crate::digest::Digest;
use crate::scratch;

/// Why a layer could not be unpacked. Whatever it is, nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The compressed bytes are not those of the blob.
    #[error("unpacking layer {layer}: the bytes of blob {blob} have digest {found}")]
    Blob {
        /// The layer's diff_id.
        layer: Digest,
        /// What they should have been.
        blob: Digest,
        /// What they are.
        found: Digest,
    },
    /// The blob has another size than its descriptor says.
    #[error("unpacking layer {layer}: blob {blob} should have {expected} bytes, not {found}{more}")]
    Size {
        /// The layer's diff_id.
        layer: Digest,
        /// The blob.
        blob: Digest,
        /// The descriptor's size.
        expected: u64,
        /// Bytes seen.
        found: u64,
        /// ` or more` when reading stopped there.
        more: &'static str,
    },
    /// The archive is not the one the configuration promises.
    #[error(
        "unpacking layer {layer}: the archive in blob {blob} has digest {found}; \
         hint: the image's manifest and configuration do not belong together"
    )]
    DiffId {
        /// The layer's diff_id.
        layer: Digest,
        /// The blob.
        blob: Digest,
        /// The archive's digest.
        found: Digest,
    },
    /// The archive's form is broken.
    #[error("unpacking layer {layer}")]
    Archive {
        /// The layer's diff_id.
        layer: Digest,
        /// Where and how.
        #[source]
        source: ArchiveError,
    },
    /// One entry of the archive cannot be unpacked.
    #[error("unpacking layer {layer}: entry {entry:?}")]
    Entry {
        /// The layer's diff_id.
        layer: Digest,
        /// The entry's path, as the archive has it.
        entry: String,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// The layer is over a limit that counts all its entries.
    #[error("unpacking layer {layer}: it is over the limit of {limit} {what}")]
    Limit {
        /// The layer's diff_id.
        layer: Digest,
        /// The limit.
        limit: u64,
        /// What it limits, with its unit.
        what: &'static str,
    },
    /// The disk is full.
    #[error("unpacking layer {layer}: no space left; hint: free space for images on this host")]
    DiskFull {
        /// The layer's diff_id.
        layer: Digest,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Reading the blob failed: the network or the disk below.
    #[error("unpacking layer {layer}: reading blob {blob}")]
    Read {
        /// The layer's diff_id.
        layer: Digest,
        /// The blob.
        blob: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The layer store's own directory failed.
    #[error("{doing}")]
    Store {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    pub(crate) fn store(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Store { doing, source }
    }

    /// Whether fetching the blob again, or waiting, may help; else the image itself is at fault.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Blob { .. }
                | Self::Size { .. }
                | Self::DiskFull { .. }
                | Self::Read { .. }
                | Self::Store { .. }
        )
    }
}

/// Why one entry cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A `..` in the path.
    #[error("its path has a `..` component")]
    Parent,
    /// An empty path, or one that is the layer's root where it cannot be.
    #[error("its path names no file")]
    NoName,
    /// A NUL byte in a name.
    #[error("its path or link has a NUL byte")]
    Nul,
    /// A path, component, depth or attribute over its limit.
    #[error("its {what} is over the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes or components.
        limit: u64,
    },
    /// A file stands where the path needs a directory.
    #[error("{0:?} on its path is not a directory")]
    NotADirectory(String),
    /// Symbolic links lead in a circle, or on and on.
    #[error("its path leads through more than 40 symbolic links")]
    Loop,
    /// A hard link to something that is no file of this layer.
    #[error("it is a hard link to {0:?}, which is no file of this layer")]
    LinkTarget(String),
    /// An owner that the system cannot store.
    #[error("its owner {0} is no user or group number")]
    Owner(u64),
    /// A whiteout whose name hides nothing a file could be called.
    #[error("it is a whiteout that names nothing")]
    Whiteout,
    /// The stored bytes ended early or could not be written.
    #[error("its content could not be read or written")]
    Io(#[source] io::Error),
    /// The file system cannot store an extended attribute.
    #[error("setting its extended attribute {name:?}")]
    Xattr {
        /// The attribute.
        name: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl From<rustix::io::Errno> for EntryError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<io::Error> for EntryError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl EntryError {
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Io(source) | Self::Xattr { source, .. } => scratch::is_full(source),
            _ => false,
        }
    }
}
