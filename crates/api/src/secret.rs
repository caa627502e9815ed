//! Secrets: named values that apps get in their environment. Values are sealed at rest and shown to
//! nobody.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentName, SecretName, TeamName};
use crate::time::Timestamp;

/// A secret as listed: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// The team it belongs to.
    pub team: TeamName,
    /// The environment it is for.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: SecretName,
    /// Counts its values, from 1.
    pub version: u32,
    /// When this value was set.
    pub updated: Timestamp,
}
