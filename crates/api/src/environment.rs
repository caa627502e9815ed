//! Environments: the stages of the pipeline.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::EnvironmentName;
use crate::time::Timestamp;

/// An environment. A release enters the first of the pipeline and is promoted to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// Its place in the pipeline; lower comes first, no two are equal.
    pub order: u32,
    /// Labels a host must carry for instances of this environment; empty means any host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}
