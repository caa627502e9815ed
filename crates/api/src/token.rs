//! Tokens of users and machines. Only their hashes are stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TeamName;
use crate::time::Timestamp;

/// A token as stored and listed, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The public part of the token, by which it is found.
    pub id: String,
    /// Whose it is, for people and the record of who did what.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The team it is limited to; must be set for [`Role::Developer`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What a user may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secrets.
    Viewer,
    /// Deploys the apps of one team.
    Developer,
    /// Owns environments, hosts and routes.
    Operator,
    /// Owns blessing and revocation.
    Security,
    /// Everything.
    Admin,
}
