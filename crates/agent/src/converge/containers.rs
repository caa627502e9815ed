//! The host that runs containers: what its drivers ask for is done by the runtime, the image store
//! and the network. The doing itself is in `work`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::assignment::Entry;
use api::id::{HostId, InstanceId};
use api::protocol::Workload;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::host::{Found, Host, Progress, Running, Unprepared};
use super::{adopt, work};
use crate::failure::told;
use crate::images::Images;
use crate::lease::Leases;
use crate::network::Network;
use crate::runtime::{ContainerId, ContainerSpec, Runtime, RuntimeError};

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

/// Preparations that were not started yet, and those that may be started again.
pub type Prepared = Mutex<HashMap<ContainerId, Arc<ContainerSpec>>>;

/// What the work is done with.
pub struct Containers {
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
    /// Lets singletons run.
    pub leases: Arc<Leases>,
    /// Paces starts.
    pub starts: Semaphore,
    /// What to start.
    pub prepared: Prepared,
}

impl Containers {
    /// How many containers are created at once on this machine.
    #[must_use]
    pub fn starts_at_once() -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores * STARTS_PER_CORE).clamp(*STARTS.start(), *STARTS.end())
    }
}

#[async_trait]
impl Host for Containers {
    fn name(&self) -> &HostId {
        &self.host
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn found(&self) -> Result<BTreeMap<ContainerId, Found>, RuntimeError> {
        let runtime = self.runtime.clone();
        let listed = tokio::task::spawn_blocking(move || adopt::found(&*runtime)).await;
        let broken = |_| RuntimeError::Host("listing containers was broken off".into());
        listed.map_err(broken)?
    }

    fn admit(&self, entries: &[&Entry]) -> u64 {
        self.network.admit(entries.iter().map(|entry| work::place(entry)))
    }

    fn hold(&self, entry: &Entry, container: &ContainerId, ran: bool) {
        self.leases.hold(&entry.instance, container, ran);
    }

    async fn lease(&self, entry: &Entry, progress: Progress<'_>) {
        self.leases.wait(&entry.instance, progress).await;
    }

    async fn prepare(
        &self,
        entry: &Entry,
        workload: &Workload,
        admission: u64,
        progress: Progress<'_>,
        cancelled: CancellationToken,
    ) -> Result<(), Unprepared> {
        let spec = work::prepare(self, entry, workload, admission, progress, cancelled).await?;
        self.prepared.lock().insert(spec.id.clone(), Arc::new(spec));
        Ok(())
    }

    async fn start(&self, container: &ContainerId) -> Result<Running, String> {
        let Some(spec) = self.prepared.lock().get(container).cloned() else {
            return Err("it was not prepared".to_owned());
        };
        work::start(self, spec).await
    }

    async fn stop(&self, container: &ContainerId, grace: Duration) {
        let (runtime, id) = (self.runtime.clone(), container.clone());
        let stopping = tokio::task::spawn_blocking(move || {
            if let Err(error) = runtime.stop(&id, grace) {
                tracing::warn!(container = %id, error = told(&error), "stopping");
            }
        });
        let _ = stopping.await;
    }

    async fn delete(&self, container: &ContainerId) -> Result<(), String> {
        work::delete(self, container.clone()).await
    }

    async fn remove(&self, entry: &Entry, container: &ContainerId) -> Result<(), String> {
        self.prepared.lock().remove(container);
        self.leases.release(&entry.instance);
        work::remove(self, entry, container.clone()).await
    }

    async fn probe(&self, entry: &Entry, workload: &Workload) -> Result<(), String> {
        let check = workload.spec.health_check();
        let protocol = workload.spec.process.protocol;
        let within = workload.spec.health.timeout.duration();
        let checked = crate::health::check(&check, protocol, entry.address, within).await;
        checked.map_err(|why| why.0)
    }

    async fn clear(&self, container: ContainerId, found: Found) {
        adopt::clear(&self.runtime, container, found).await;
    }
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("host", &self.host).finish_non_exhaustive()
    }
}
