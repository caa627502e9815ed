//! What the drivers of instances ask of their host, as a trait: all that differs between a host
//! that runs containers and a hollow one. It decides nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use api::assignment::Entry;
use api::id::HostId;
use api::protocol::Workload;
use api::status::ExitCause;
use async_trait::async_trait;
use plan::restart::Moment;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use crate::runtime::{ContainerId, RuntimeError};

/// Ready when a container has ended.
pub type Ended = Pin<Box<dyn Future<Output = ExitCause> + Send>>;

/// Takes what is to be told of a preparation.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A container that an earlier agent left.
pub enum Found {
    /// It runs.
    Runs {
        /// The process id of its first process.
        pid: u32,
        /// Since when.
        started: Moment,
        /// Its end.
        ended: Ended,
    },
    /// It ended meanwhile, or was never finished.
    Dead(ExitCause),
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs { pid, .. } => f.debug_struct("Runs").field("pid", pid).finish(),
            Self::Dead(cause) => f.debug_tuple("Dead").field(cause).finish(),
        }
    }
}

/// A container that was started.
pub struct Running {
    /// The process id of its first process.
    pub pid: u32,
    /// Its end.
    pub ended: Ended,
}

/// Why a preparation came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprepared {
    /// For people.
    pub message: String,
    /// Whether trying again can help.
    pub retryable: bool,
}

/// A host as the drivers of its instances see it. Calls for one instance come one after the other,
/// but for [`Host::stop`] and [`Host::probe`], which may come while another is under way.
#[async_trait]
pub trait Host: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &HostId;

    /// Its clocks.
    fn clock(&self) -> &Clock;

    /// All containers there are.
    ///
    /// # Errors
    /// They can't be listed.
    async fn found(&self) -> Result<BTreeMap<ContainerId, Found>, RuntimeError>;

    /// Gives instances their place in the packet filter, in one go; the number is what their
    /// preparation waits for.
    fn admit(&self, entries: &[&Entry]) -> u64;

    /// Asks for leases of a singleton's instance from now on, until it is removed. `ran` says
    /// whether it ever had one.
    fn hold(&self, _entry: &Entry, _container: &ContainerId, _ran: bool) {}

    /// Waits for a lease that is long enough to start under. A host that keeps none never has one.
    async fn lease(&self, _entry: &Entry, _progress: Progress<'_>) {
        std::future::pending().await
    }

    /// Fetches the image and makes network and files.
    ///
    /// # Errors
    /// What could not be had. Cancelling breaks the fetch off.
    async fn prepare(
        &self,
        entry: &Entry,
        workload: &Workload,
        admission: u64,
        progress: Progress<'_>,
        cancelled: CancellationToken,
    ) -> Result<(), Unprepared>;

    /// Creates and starts what was prepared, in its turn.
    ///
    /// # Errors
    /// Why it does not run, for people. Nothing of the container is left then.
    async fn start(&self, container: &ContainerId) -> Result<Running, String>;

    /// Begins to stop it: its stop signal now, SIGKILL after `grace`. Its end tells the rest; a
    /// failure is seen by the machine's next try.
    async fn stop(&self, container: &ContainerId, grace: Duration);

    /// Clears the container away; the network and all else stays.
    ///
    /// # Errors
    /// What is left; it may be repeated.
    async fn delete(&self, container: &ContainerId) -> Result<(), String>;

    /// Clears everything of the instance away but its output.
    ///
    /// # Errors
    /// What is left; it may be repeated.
    async fn remove(&self, entry: &Entry, container: &ContainerId) -> Result<(), String>;

    /// Checks its health once, as its workload says.
    ///
    /// # Errors
    /// Why it is not healthy, for people.
    async fn probe(&self, entry: &Entry, workload: &Workload) -> Result<(), String>;

    /// Stops and deletes a container that is in no assignment.
    async fn clear(&self, container: ContainerId, found: Found);
}
