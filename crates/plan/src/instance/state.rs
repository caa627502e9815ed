//! Where in its life an instance is.

use api::status::InstanceState;

use crate::restart::Moment;

/// The states of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nothing is known and nothing was done.
    New,
    /// `Prepare` is under way.
    Preparing,
    /// Nothing is under way until then.
    Waiting { until: Option<Moment> },
    /// `Lease` is under way.
    Leasing,
    /// `Start` is under way.
    Creating,
    /// The container runs.
    Running { pid: u32, started: Moment, health: Health, probe: Probe },
    /// The container was asked to stop or killed; its end is awaited.
    Ending { pid: u32, why: Why, again: Moment },
    /// `Delete` is under way, or waits to be tried again then; the start after it waits until
    /// `next`.
    Deleting { again: Option<Moment>, next: Option<Moment> },
    /// `Remove` is under way, or waits to be tried again then.
    Removing { again: Option<Moment> },
    /// Nothing is left.
    Stopped,
}

/// How a running container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Health {
    /// Not yet healthy.
    Unproven,
    /// Healthy since, with so many failed checks at last.
    Good { since: Moment, failures: u32 },
    /// No more healthy, with so many failed checks at last.
    Bad { failures: u32 },
}

/// The next check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Probe {
    /// There is none.
    Never,
    /// Then.
    At(Moment),
    /// It is under way.
    Asked,
}

/// Why a container is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// It is wanted no more.
    Wanted,
    /// It is not healthy.
    Unhealthy,
}

impl State {
    /// As it is reported.
    pub(super) fn shown(self) -> InstanceState {
        match self {
            Self::New | Self::Preparing => InstanceState::Preparing,
            Self::Waiting { .. } | Self::Leasing | Self::Deleting { .. } => InstanceState::Waiting,
            Self::Creating | Self::Running { health: Health::Unproven, .. } => {
                InstanceState::Starting
            }
            Self::Running { health: Health::Good { .. }, .. } => InstanceState::Healthy,
            Self::Running { health: Health::Bad { .. }, .. } => InstanceState::Unhealthy,
            Self::Ending { why: Why::Unhealthy, .. } => InstanceState::Unhealthy,
            Self::Ending { why: Why::Wanted, .. } | Self::Removing { .. } => {
                InstanceState::Stopping
            }
            Self::Stopped => InstanceState::Stopped,
        }
    }

    /// The process that lives, as far as is known.
    pub(super) fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } | Self::Ending { pid, .. } => Some(pid),
            _ => None,
        }
    }
}
