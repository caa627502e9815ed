//! Events: what the platform did and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What kind of thing, e.g. `instance.died`, `deployment.rolled_back`.
    pub kind: String,
    /// The app it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The environment it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The release it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    /// The instance it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The host it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// What happened and why, for people.
    pub message: String,
}
