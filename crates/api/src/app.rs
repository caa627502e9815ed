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
    /// The number of its newest release. Releases are numbered without gaps, from 1 or from above
    /// what hosts still have of an earlier app of that name.
    pub latest_release: ReleaseNumber,
    /// When it was made.
    pub created: Timestamp,
}
