//! Deployments: the rolling-out of one release in one environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, EnvironmentName, InstanceId, ReleaseNumber};
use crate::time::Timestamp;

/// What an app should run in an environment and how far that is. There is one document per app and
/// environment; a new deployment takes the place of the last, with the next number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Counts the deployments of this app in this environment, from 1.
    pub number: u32,
    /// The release that is to run.
    pub release: ReleaseNumber,
    /// The last release that was completely rolled out here: where a roll-back goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<ReleaseNumber>,
    /// The release that was completely rolled out here before that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_good: Option<ReleaseNumber>,
    /// How far it is.
    pub phase: Phase,
    /// Why the phase is what it is, for people; empty while all goes well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Last log lines of the instance that made it fail, oldest first; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_log_lines: Vec<String>,
    /// When it was asked for.
    pub started: Timestamp,
    /// How far instances of the wanted release have come.
    #[serde(default)]
    pub progress: Progress,
    /// When `progress` last grew, else when the deployment was asked for: what
    /// `rollout.start_within` is counted from.
    pub progressed: Timestamp,
    /// The instance that made it fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_instance: Option<InstanceId>,
    /// When it reached a final phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The name of the token that asked for it.
    pub started_by: String,
    /// The highest epoch that an instance of a singleton was ever given here; zero for other apps.
    /// Only the instance that has it may run.
    #[serde(default, skip_serializing_if = "crate::assignment::is_zero")]
    pub epoch: u32,
}

/// The most instances of the wanted release that ever were as far at one time.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Progress {
    /// Assigned to a host.
    pub assigned: u32,
    /// Past the fetching of their image.
    pub prepared: u32,
    /// In service.
    pub in_service: u32,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Instances of the release are being started, older ones stopped.
    Rolling,
    /// All instances run the release and are healthy. Final.
    Complete,
    /// The release did not become healthy in time; the last good one is put back.
    RollingBack,
    /// The last good release runs again. Final.
    RolledBack,
    /// The release did not become healthy in time and there is none to go back to. Final; no
    /// instance is wanted.
    Failed,
    /// The app is to run here no more. Its document goes when the last instance is gone.
    Removing,
}

impl Phase {
    /// Whether nothing more happens to the deployment by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::RolledBack | Self::Failed)
    }
}

impl Deployment {
    /// The release that instances are wanted of now; none when none are.
    #[must_use]
    pub fn wanted_release(&self) -> Option<ReleaseNumber> {
        match self.phase {
            Phase::Rolling | Phase::Complete => Some(self.release),
            Phase::RollingBack | Phase::RolledBack => self.last_good,
            Phase::Failed | Phase::Removing => None,
        }
    }
}
