//! What the agent asks of a container runtime, as a trait. It decides nothing.

use std::time::Duration;

use super::{BoottimeMs, ContainerId, ContainerSpec, RuntimeError, Signal, Started, Stats, Status};
use crate::shim::ExitWatch;

/// What the agent needs of a container runtime.
///
/// Every call blocks (at most for the time named at it) and is safe from any number of threads at
/// once; asynchronous callers wrap it in `spawn_blocking`.
pub trait Runtime: Send + Sync {
    /// Creates and starts a container, and returns once its command has been executed.
    ///
    /// # Errors
    /// Says what could not be done, with the path or user concerned: an executable that is missing
    /// or not executable, an unknown user, a layer that is gone. Nothing of the container is left
    /// then.
    fn create(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError>;

    /// Sends one signal to the container's command.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], [`RuntimeError::NotRunning`], or the shim could not be asked.
    fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// Begins to stop: the container's stop signal now, SIGKILL to all of it after `grace`.
    ///
    /// Returns when the shim has accepted; the end is seen by [`Runtime::watch_exit`]. A second
    /// call can only shorten the grace. Stopping what has exited is not an error.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], or the shim could not be asked.
    fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Moves a singleton's deadline; never to an earlier time. Whoever renews counts from
    /// *sending*.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], [`RuntimeError::NotRunning`] (it has been killed), or the shim
    /// could not be asked.
    fn renew(&self, id: &ContainerId, deadline: BoottimeMs) -> Result<(), RuntimeError>;

    /// What is known of one container now.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], or its records cannot be read.
    fn status(&self, id: &ContainerId) -> Result<Status, RuntimeError>;

    /// A watch that ends with the container's exit; ready at once when it has exited already.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], or its records cannot be read.
    fn watch_exit(&self, id: &ContainerId) -> Result<ExitWatch, RuntimeError>;

    /// Counters of the container's cgroup.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] when it or its cgroup is gone.
    fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;

    /// Kills what still runs and removes everything: processes, cgroups, bundle. Logs stay.
    ///
    /// Works on half-made containers and on those whose shim was killed; deleting what does not
    /// exist is not an error.
    ///
    /// # Errors
    /// Says what could not be removed; the call may be repeated.
    fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Every container with a bundle, with what became of it: this is how a restarted agent adopts.
    ///
    /// # Errors
    /// The state directory cannot be read.
    fn list(&self) -> Result<Vec<Status>, RuntimeError>;
}
