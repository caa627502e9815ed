//! What all drivers share.

use std::path::PathBuf;
use std::sync::Arc;

use api::id::{HostId, InstanceId};
use tokio::sync::Semaphore;

use super::clock::Clock;
use crate::images::Images;
use crate::network::Network;
use crate::runtime::Runtime;

/// Containers created at once, per core and in all: creating one keeps a core busy for about 5 ms
/// and waits for the kernel about as long, so two per core use it up; more only lengthen each.
const STARTS_PER_CORE: usize = 2;
const STARTS: std::ops::RangeInclusive<usize> = 4..=8;

/// Directories for instances.
#[derive(Debug, Clone)]
pub struct Paths {
    /// On tmpfs: files shown inside.
    pub instances: PathBuf,
    /// Output, a directory for each instance.
    pub logs: PathBuf,
    /// Writable paths on disk, a directory for each instance.
    pub scratch: PathBuf,
}

impl Paths {
    /// The files shown inside an instance.
    #[must_use]
    pub fn files(&self, instance: &InstanceId) -> PathBuf {
        self.instances.join(instance.as_str())
    }
}

/// What drivers do their work with.
pub struct Context {
    /// The host.
    pub host: HostId,
    /// Its clocks.
    pub clock: Clock,
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// Fetches images.
    pub images: Arc<Images>,
    /// Connects instances.
    pub network: Arc<Network>,
    /// Where files go.
    pub paths: Paths,
    /// Paces starts.
    pub starts: Semaphore,
}

impl Context {
    /// How many containers are created at once on this machine.
    #[must_use]
    pub fn starts_at_once() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores * STARTS_PER_CORE).clamp(*STARTS.start(), *STARTS.end())
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("host", &self.host).finish_non_exhaustive()
    }
}
