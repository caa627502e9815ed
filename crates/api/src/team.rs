//! Teams own apps; quotas attach to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TeamName;
use crate::time::Timestamp;

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Team {
    /// Its name, unique in the cluster.
    pub name: TeamName,
    /// What people should know about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
}
