//! What can go wrong in the registry.

use image::{ContentError, Digest, ManifestError};

use super::{ClusterError, InUseError, ManifestName, NameError, RepositoryName};

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A malformed name, tag or digest.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nothing was ever pushed to this repository.
    #[error("looking for repository {0}: there is none of that name")]
    RepositoryUnknown(RepositoryName),
    /// The repository has no such blob.
    #[error("looking for blob {digest} in repository {repository}: it is not there")]
    BlobUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
    },
    /// The repository has no such manifest.
    #[error("looking for image {manifest} in repository {repository}: it is not there")]
    ManifestUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// The manifest.
        manifest: ManifestName,
    },
    /// There is no such upload in the repository: never started, finished, cancelled or expired.
    #[error("continuing upload {id} to repository {repository}: there is no such upload")]
    UploadUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// The upload, as it was asked for.
        id: String,
    },
    /// A chunk does not start where the upload ends, or its range can't be read.
    #[error("continuing upload {id}: the chunk's range is {range:?}, but {offset} bytes are there")]
    Gap {
        /// The upload.
        id: String,
        /// The range as it was given.
        range: String,
        /// How many bytes the upload has.
        offset: u64,
    },
    /// A chunk is longer or shorter than its range says.
    #[error("continuing upload {id}: the chunk has not the {declared} bytes that its range says")]
    ChunkLength {
        /// The upload.
        id: String,
        /// How many bytes its range has.
        declared: u64,
    },
    /// A body larger than is accepted.
    #[error("receiving {what}: it is over the limit of {limit} bytes")]
    TooLarge {
        /// What was being received.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many unfinished uploads.
    #[error("starting an upload: {0} are unfinished already; hint: try again later")]
    TooManyUploads(usize),
    /// The body is not of the digest that was announced.
    #[error("storing manifest {expected}: the bytes received have digest {found}")]
    DigestMismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A manifest that can't be read or contradicts itself.
    #[error("storing a manifest")]
    Manifest(#[source] ManifestError),
    /// A manifest whose parts were not pushed to its repository before it.
    #[error(
        "storing a manifest in repository {repository}: {} of its parts are not there",
        .parts.len()
    )]
    PartsUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The parts.
        parts: Vec<Digest>,
    },
    /// A manifest that says a wrong size of one of its parts.
    #[error("storing a manifest: it says that {part} has {declared} bytes, which has {size}")]
    PartSize {
        /// The part.
        part: Digest,
        /// What the manifest says.
        declared: u64,
        /// What it is.
        size: u64,
    },
    /// Somebody needs the image.
    #[error("deleting image {digest} from repository {repository}: it is in use by {user}")]
    InUse {
        /// The repository.
        repository: RepositoryName,
        /// The manifest.
        digest: Digest,
        /// Who needs it.
        user: String,
    },
    /// A manifest needs the blob.
    #[error(
        "deleting blob {digest} from repository {repository}: image {manifest} needs it; \
         hint: delete the image"
    )]
    BlobNeeded {
        /// The repository.
        repository: RepositoryName,
        /// The blob.
        digest: Digest,
        /// One that needs it.
        manifest: Digest,
    },
    /// What is in use can't be found out.
    #[error(transparent)]
    UsersUnknown(#[from] InUseError),
    /// The cluster could not be asked or did not write.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Releases came and went so fast that it never became clear what is in use.
    #[error("deleting images: releases are being made; hint: try again")]
    UsersChanging,
    /// The client stopped sending.
    #[error("receiving {what}: the client {how}; what came is kept")]
    Interrupted {
        /// What was being received.
        what: String,
        /// How it stopped.
        how: &'static str,
    },
    /// The content store refused.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The database refused.
    #[error("{doing} in the registry's database")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The directory can't be used.
    #[error("opening registry at {path}: {why}")]
    Open {
        /// The directory.
        path: String,
        /// Why not.
        why: String,
        /// The system's error, if it was the system.
        #[source]
        source: Option<std::io::Error>,
    },
    /// A thread that worked for the request ended before its work.
    #[error("waiting for the disk: the server is stopping")]
    Stopping,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was asked is wrong; asking again will not help.
    User,
    /// What is there forbids it.
    Conflict,
    /// It may work later.
    Unavailable,
    /// Ours.
    Internal,
}

impl RegistryError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::InUse { .. } | Self::BlobNeeded { .. } => Fault::Conflict,
            Self::UsersUnknown(_)
            | Self::UsersChanging
            | Self::Cluster(_)
            | Self::TooManyUploads(_)
            | Self::Interrupted { .. }
            | Self::Stopping => Fault::Unavailable,
            Self::Content(ContentError::NotFound(_) | ContentError::Corrupt { .. }) => {
                Fault::Internal
            }
            Self::Content(ContentError::DiskFull { .. } | ContentError::UploadBusy(_)) => {
                Fault::Unavailable
            }
            Self::Content(ContentError::Io { .. }) | Self::Open { .. } => Fault::Internal,
            Self::Database { .. } if self.disk_full() => Fault::Unavailable,
            Self::Database { .. } => Fault::Internal,
            _ => Fault::User,
        }
    }

    /// Whether trying again later, unchanged, may succeed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.fault() == Fault::Unavailable
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn disk_full(&self) -> bool {
        match self {
            Self::Content(ContentError::DiskFull { .. }) => true,
            Self::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for RegistryError {
    /// What was being done is filled in by who runs the transaction.
    fn from(source: rusqlite::Error) -> Self {
        Self::Database { doing: "working", source }
    }
}
