//! What a registry asks of the cluster when it is one of several: which images there are and what
//! tags mean is written down once for all of them; content is on some and is fetched by the rest.

use std::collections::BTreeSet;

use api::id::ServerId;
use async_trait::async_trait;
use axum::body::Bytes;
use image::Digest;
use tokio::sync::mpsc;

use super::RepositoryName;

/// An image as it is written down for all registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its repository.
    pub repository: RepositoryName,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// The media type of that.
    pub media_type: String,
    /// Bytes of the manifest and of what it names.
    pub size: u64,
    /// Who pushed it.
    pub pusher: String,
    /// When, in milliseconds since 1970.
    pub pushed: i64,
}

/// A tag as it is written down for all registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRecord {
    /// Its repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: String,
    /// What it means.
    pub digest: Digest,
    /// When it was pushed, in milliseconds since 1970.
    pub pushed: i64,
}

/// Everything that is written down.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Images.
    pub images: Vec<Record>,
    /// Tags.
    pub tags: Vec<TagRecord>,
    /// Images that releases need, written down or not.
    pub used: BTreeSet<Digest>,
}

/// A state of an image's record; one that changed since is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub u64);

/// Content by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// How many servers have an image that is being pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copies {
    /// This one and another that stands apart.
    Enough,
    /// There is no other server.
    Single,
    /// Fewer than there should be, and why.
    Short(String),
}

/// The cluster can't be asked now, or refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ask the cluster about images: {0}")]
pub struct ClusterError(pub String);

/// Content that another server sends.
#[derive(Debug)]
pub struct Incoming {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes, in order; an error is the last.
    pub pieces: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// The cluster of which a registry is one of several.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What a tag means now.
    ///
    /// # Errors
    /// Nobody can say.
    async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
    ) -> Result<Option<Digest>, ClusterError>;

    /// An image's record with its state.
    fn image(&self, repository: &RepositoryName, digest: &Digest) -> Option<(Record, Mark)>;

    /// Writes an image down, under a tag where one is given; then every registry has it.
    ///
    /// # Errors
    /// It could not be written.
    async fn record(&self, record: &Record, tag: Option<&str>) -> Result<(), ClusterError>;

    /// Forgets a tag; `false` if there was none.
    ///
    /// # Errors
    /// It could not be written.
    async fn forget_tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
    ) -> Result<bool, ClusterError>;

    /// Forgets an image with its tags; `false` if its record changed since `mark`.
    ///
    /// # Errors
    /// It could not be written.
    async fn forget_image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        mark: Mark,
    ) -> Result<bool, ClusterError>;

    /// Sees to it that another server has content that is here.
    async fn copy(&self, repository: &RepositoryName, content: &[Wanted]) -> Copies;

    /// The size of content that another server has; where a repository is named, only what is seen
    /// in it there.
    async fn size(&self, repository: Option<&RepositoryName>, digest: &Digest) -> Option<u64>;

    /// Content that another server has; `None` where none has it. As for [`Cluster::size`].
    async fn open(&self, repository: Option<&RepositoryName>, digest: &Digest) -> Option<Incoming>;

    /// Content of one of these servers, the first best, or of any other.
    async fn open_from(&self, servers: &[ServerId], digest: &Digest) -> Option<Incoming>;
}
