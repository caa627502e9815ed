//! What is told of an instance.

use api::status::{ExitCause, InstanceState};

use crate::restart::Moment;

/// An instance as its machine sees it; the driver turns moments into wall time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// What it is doing.
    pub state: InstanceState,
    /// Since when.
    pub since: Moment,
    /// Process id of its first process, while it has one.
    pub pid: Option<u32>,
    /// How often it was started again after a death.
    pub restarts: u32,
    /// How it last died.
    pub last_death: Option<Death>,
    /// What keeps it from the next state, for people.
    pub message: String,
}

/// A death.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Death {
    /// What it died of.
    pub cause: ExitCause,
    /// When.
    pub at: Moment,
}
