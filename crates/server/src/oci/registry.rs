//! The registry itself: opening it, and what its parts share.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use image::{ContentStore, Digest};

use super::cluster::Cluster;
use super::hold::Holds;
use super::metadata::Metadata;
use super::receive::Receiving;
use super::session::Sessions;
use super::shards::Shards;
use super::{Hold, Options, RegistryError, RepositoryName};

/// An image registry in a directory. Cloning is cheap and gives the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

/// What the registry's parts share.
pub(super) struct Inner {
    pub(super) content: ContentStore,
    pub(super) metadata: Metadata,
    pub(super) shards: Shards,
    pub(super) sessions: Sessions,
    pub(super) holds: Arc<Holds>,
    pub(super) options: Options,
    /// One collection of garbage at a time.
    pub(super) collecting: tokio::sync::Mutex<()>,
    /// The others, where this is one of several.
    pub(super) cluster: OnceLock<Arc<dyn Cluster>>,
    pub(super) receiving: Receiving,
    /// Let go by the kernel, however the process ends.
    _lock: File,
}

impl Registry {
    /// Opens the registry in `directory`, making it if need be. Blocks for some file system calls.
    ///
    /// # Errors
    /// [`RegistryError::Open`] when another process has it open or the directory can't be used;
    /// [`RegistryError::Content`] and [`RegistryError::Database`].
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, RegistryError> {
        let directory = directory.as_ref();
        let lock = lock(directory)?;
        let content = ContentStore::open(directory.join("content"))?;
        let metadata = Metadata::open(&directory.join("registry.db"))?;
        let sessions = Sessions::new(content.clone());
        Ok(Self(Arc::new(Inner {
            content,
            metadata,
            shards: Shards::new(),
            sessions,
            holds: Arc::default(),
            options,
            collecting: tokio::sync::Mutex::new(()),
            cluster: OnceLock::new(),
            receiving: Receiving::default(),
            _lock: lock,
        })))
    }

    /// From now on this registry is one of several. Only the first call counts.
    pub fn share(&self, cluster: Arc<dyn Cluster>) {
        if self.0.cluster.set(cluster).is_err() {
            tracing::warn!("a registry is shared already");
        }
    }

    pub(super) fn cluster(&self) -> Option<&Arc<dyn Cluster>> {
        self.0.cluster.get()
    }

    /// The content: blobs and manifests by digest. For reading; what may go is decided here.
    #[must_use]
    pub fn content(&self) -> &ContentStore {
        &self.0.content
    }

    /// Keeps an image from being deleted until the hold is dropped. Take it before
    /// [`Registry::resolve`] of a digest, or after that of a tag and resolve the digest again.
    pub fn hold(&self, repository: RepositoryName, digest: Digest) -> Hold {
        self.0.holds.hold(repository, digest)
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Runs `work`, which may wait for the disk, on a thread made for that.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(RegistryError::Stopping),
            },
        }
    }
}

impl Inner {
    /// The size of a blob's content in bytes, if it is there.
    pub(super) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        Ok(self.content.info(digest)?.map(|info| info.size))
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Makes the directory and locks it: a second opener would not know of our uploads and locks.
fn lock(directory: &Path) -> Result<File, RegistryError> {
    let fail = |why: &str, source: Option<io::Error>| RegistryError::Open {
        path: directory.display().to_string(),
        why: why.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(|e| fail("making the directory failed", Some(e)))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("registry.lock"))
        .map_err(|e| fail("making the lock file failed", Some(e)))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(fail("another process has it open", None)),
        Err(TryLockError::Error(e)) => Err(fail("locking it failed", Some(e))),
    }
}
