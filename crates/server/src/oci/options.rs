//! What may be set about a registry.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a registry behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Largest blob in bytes; larger ones are refused as soon as that is known.
    pub max_blob_bytes: u64,
    /// Most unfinished uploads. Each costs a file descriptor, and while it is written 256 KiB of
    /// memory: 256 × 256 KiB = 64 MiB.
    pub max_uploads: usize,
    /// How long a request's body may be silent before the request ends; its upload is kept.
    pub body_idle: Duration,
    /// How long an upload without new bytes is kept.
    pub upload_idle: Duration,
    /// When there are [`Options::max_uploads`], uploads idle for this long make room for new ones.
    pub upload_reclaim: Duration,
    /// How long blobs stay that no manifest needs: the time a client has between the first blob and
    /// the manifest of a push.
    pub grace: Duration,
    /// How long manifests stay that have no tag, are in no index, remark on no other manifest and
    /// are in no use; `None` keeps them until they are deleted.
    pub untagged_retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_blob_bytes: 64 << 30,
            max_uploads: 256,
            body_idle: Duration::from_secs(60),
            upload_idle: DAY,
            upload_reclaim: Duration::from_secs(15 * 60),
            grace: DAY,
            untagged_retention: None,
        }
    }
}
