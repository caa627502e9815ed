//! Image registries off the cluster.

use serde::{Deserialize, Serialize};

use crate::protocol::SecretValue;

/// How to reach a registry that is not the cluster's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Its `host[:port]` as it stands in image references.
    pub host: String,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretValue>,
    /// Certificates to trust beside the host's own, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// An HTTP proxy to go through, e.g. `http://proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Speak plain HTTP.
    #[serde(default)]
    pub plain_http: bool,
}
