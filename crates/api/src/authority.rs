//! The cluster's authority, and how another takes its place: first all trust both, then all get
//! certificates of the new one, then the old one is dropped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How far the exchange of the authority is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is exchanged.
    #[default]
    Settled,
    /// All learn to trust the new one beside the old one, which still signs.
    Trust,
    /// The new one signs; all get certificates of it.
    Issue,
    /// All forget the old one.
    Drop,
}

impl Phase {
    /// What people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Trust => "trust",
            Self::Issue => "issue",
            Self::Drop => "drop",
        }
    }
}

/// What a member of the cluster trusts and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trusts {
    /// The generation of the authorities that it has taken over; zero before the first exchange.
    pub generation: u64,
    /// The fingerprints of the authorities that it trusts.
    pub authorities: Vec<String>,
    /// The fingerprint of the authority that signed its certificate.
    pub signer: String,
    /// The fingerprints of those that its etcd trusts; none where it has no etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Vec<String>>,
    /// Why it could not do what it should; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// The authorities as servers hand them to agents. An older generation is refused, and so is the
/// same one with other content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// Counts up with each change.
    pub generation: u64,
    /// All that are to be trusted, PEM, the one that signs first.
    pub pem: String,
}

/// The cluster's authority: `GET /v1/authority`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthorityView {
    /// How far an exchange is.
    pub phase: Phase,
    /// The fingerprint of the authority that signs.
    pub signs: String,
    /// The fingerprints of all that are trusted, the one that signs first.
    pub authorities: Vec<String>,
    /// All that are trusted, PEM.
    pub authorities_pem: String,
    /// Counts up with each change; zero before the first exchange.
    pub generation: u64,
    /// When the last exchange began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Whether an operator asked to wait before the new one signs.
    #[serde(default)]
    pub held: bool,
    /// For whom the present phase waits.
    pub waits_for: Vec<WaitsFor>,
    /// Who was left out of the last exchange: they must join again.
    pub left_out: Vec<String>,
}

/// A member for which an exchange waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitsFor {
    /// `host NAME` or `server NAME`.
    pub member: String,
    /// What it has not done.
    pub why: String,
    /// Whether it is connected to a server.
    pub connected: bool,
}

/// `POST /v1/authority/rotate`: begins an exchange, or says how to go on with the present one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RotateRequest {
    /// Wait in the phase in which all trust both, until it is asked for again without.
    #[serde(default)]
    pub hold: bool,
    /// Leave out for whom the present phase waits.
    #[serde(default)]
    pub force: bool,
}
