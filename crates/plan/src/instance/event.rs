//! What a machine is told and what it asks for.

use api::assignment::Wanted;
use api::status::ExitCause;
use api::unit::Millis;

use crate::restart::Moment;

/// What happened. Each is told to the machine with the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The assignment wants this of the instance.
    Wanted(Wanted),
    /// At the agent's start: its container was found running.
    Adopted {
        /// Process id of its first process.
        pid: u32,
        /// When it was started.
        started: Moment,
        /// Whether it was healthy when last reported.
        healthy: bool,
    },
    /// At the agent's start: its container was found dead, with this cause.
    FoundDead(ExitCause),
    /// How far [`Effect::Prepare`] is, or why [`Effect::Lease`] waits, for people.
    Progress(String),
    /// [`Effect::Prepare`] is done.
    Prepared,
    /// [`Effect::Prepare`] failed.
    PrepareFailed {
        /// Why, for people.
        message: String,
        /// Whether trying again soon may help.
        retryable: bool,
    },
    /// [`Effect::Lease`] is done: a lease was granted that is long enough to start under.
    Leased,
    /// [`Effect::Start`] is done: the command was executed.
    Started {
        /// Process id of its first process.
        pid: u32,
    },
    /// [`Effect::Start`] failed; no container is there.
    StartFailed {
        /// Why, for people.
        message: String,
    },
    /// The container ended.
    Exited(ExitCause),
    /// [`Effect::Probe`] found it healthy.
    ProbeSucceeded,
    /// [`Effect::Probe`] did not.
    ProbeFailed(String),
    /// [`Effect::Delete`] is done.
    Deleted,
    /// [`Effect::Remove`] is done.
    Removed,
    /// [`Effect::Delete`] or [`Effect::Remove`] left something over.
    ClearFailed(String),
    /// Something the instance uses became healthy: a wait need not last longer.
    NeighbourHealthy,
    /// The time that [`super::Machine::wake_at`] asked for has come.
    Tick,
}

/// What is to be done. At most one of `Prepare`, `Start`, `Delete` and `Remove` is under way at any
/// time, and at most one `Probe` beside; each is answered by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Fetch and unpack the image, make the network.
    Prepare,
    /// Wait for a lease. It may be given up half-way, and is with any other effect.
    Lease,
    /// Make the container and start it. No container of this instance exists.
    Start,
    /// Check its health once, within the check's own time-out.
    Probe,
    /// Ask it to stop; kill it after the grace.
    Stop {
        /// How long it may take.
        grace: Millis,
    },
    /// Kill it now.
    Kill,
    /// Clear the dead container away; the network stays.
    Delete,
    /// Clear everything of the instance away: container, network, files. Breaks off a `Prepare`.
    Remove,
}
