//! Certificates that the ingress serves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A certificate as listed: everything but its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// What it is called here.
    pub name: String,
    /// The host names it is served for, exact or `*.x`.
    pub hosts: Vec<String>,
    /// The chain, leaf first, PEM.
    pub chain_pem: String,
    /// When the leaf ends.
    pub not_after: Timestamp,
}
