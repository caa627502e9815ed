//! Apps: named workloads of a team.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, ReleaseNumber, TeamName};
use crate::time::Timestamp;

/// An app. It comes into being with its first release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Its name, unique in the cluster.
    pub name: AppName,
    /// The team that owns it.
    pub team: TeamName,
    /// The number of its newest release; releases are numbered from 1 without gaps.
    pub latest_release: ReleaseNumber,
    /// When it was made.
    pub created: Timestamp,
}
