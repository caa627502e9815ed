//! How machines come into a cluster and keep their certificates: tokens for joining, what a joiner
//! says and is told, and how certificates are renewed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::DomainPath;
use crate::id::{HostId, ServerId};
use crate::protocol::SecretValue;
use crate::time::Timestamp;
use crate::unit::Millis;

/// How long a join token is good for when nothing is said.
pub const TOKEN_LIFETIME: Millis = Millis::secs(3600);

/// The longest that one may be good for: a machine that takes a week to set up gets a new one.
pub const TOKEN_LIFETIME_MAX: Millis = Millis::secs(7 * 24 * 3600);

/// How far a joiner's clock may be off. Certificates begin an hour before they are issued, so that
/// a clock within this does not make them void.
pub const CLOCK_OFF_MAX: Millis = Millis::secs(300);

/// What a machine becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinRole {
    /// It runs instances.
    Host,
    /// It is a server of the control plane and gets the cluster's keys.
    Server,
}

/// A join token as stored and listed, without its secret. It lets one machine in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// The public part of the token.
    pub id: String,
    /// What its holder becomes.
    pub role: JoinRole,
    /// The host or server whose place the joiner takes, with its name; none is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// Who used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<JoinTokenUse>,
}

/// Who used a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenUse {
    /// The name it joined with.
    pub name: String,
    /// The fingerprint of its public key. The same machine may ask again, nobody else.
    pub key: String,
    /// When.
    pub at: Timestamp,
}

/// `POST /v1/join-tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenRequest {
    /// What its holder becomes.
    pub role: JoinRole,
    /// How long it is good for; none is an hour, a week at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Millis>,
    /// The host or server whose place the joiner takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// The answer to it: the only time the token itself is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenAnswer {
    /// What is kept of it.
    pub token: JoinToken,
    /// The token itself, with the fingerprint of the cluster's authority.
    pub secret: SecretValue,
}

/// `POST /v1/join/host`: a machine wants to become a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostJoinRequest {
    /// The secret part of the join token, `fh_ID_SECRET`.
    pub token: SecretValue,
    /// What it wants to be called.
    pub name: HostId,
    /// A signing request for its key, PEM. Every name in it is ignored.
    pub request_pem: String,
    /// Where other hosts reach it.
    pub address: Ipv4Addr,
    /// The failure domain it stands in.
    #[serde(default)]
    pub domain: DomainPath,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it knows that it takes the place of a host with this name.
    #[serde(default)]
    pub replace: bool,
    /// Its clock.
    pub time: Timestamp,
}

/// What a new host is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostJoined {
    /// The cluster's name.
    pub cluster: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The cluster's authorities, PEM.
    pub authorities_pem: String,
    /// The servers as `HOST:PORT`.
    pub servers: Vec<String>,
    /// The addresses of its instances.
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    /// The addresses of all instances of the cluster.
    #[schemars(with = "String")]
    pub instance_range: Ipv4Net,
    /// The addresses of services.
    #[schemars(with = "String")]
    pub service_range: Ipv4Net,
}

/// `POST /v1/join/server`: a machine wants to become a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerJoinRequest {
    /// The secret part of the join token, `fh_ID_SECRET`.
    pub token: SecretValue,
    /// What it wants to be called.
    pub name: ServerId,
    /// A signing request for its key, PEM.
    pub request_pem: String,
    /// The DNS names by which it will be reached.
    #[serde(default)]
    pub dns_names: Vec<String>,
    /// The addresses by which it will be reached.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Whether it knows that it takes the place of a server with this name.
    #[serde(default)]
    pub replace: bool,
    /// Its clock.
    pub time: Timestamp,
}

/// What a new server is told. With its certificate it asks for the rest: [`HandoverRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerJoined {
    /// The cluster's name.
    pub cluster: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The cluster's authorities, PEM.
    pub authorities_pem: String,
    /// The servers as `HOST:PORT`.
    pub servers: Vec<String>,
    /// Where instances' addresses come from.
    #[schemars(with = "String")]
    pub instance_range: Ipv4Net,
    /// Where service addresses come from.
    #[schemars(with = "String")]
    pub service_range: Ipv4Net,
    /// The port of https as clients see it, when it is not 443.
    pub https_port: Option<u16>,
    /// The endpoints of the etcd that keeps the cluster's state.
    pub etcd: Vec<String>,
}

/// `POST /v1/join/handover`: a server, by its certificate, asks for the cluster's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandoverRequest {
    /// The public half of a fresh X25519 key, base64.
    pub public: String,
}

/// The cluster's keys, for that key alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandoverAnswer {
    /// [`Handover`] as JSON, sealed, base64.
    pub sealed: String,
}

/// What is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The authority's certificate, PEM.
    pub authority_pem: String,
    /// The authority's key, PEM.
    pub authority_key_pem: SecretValue,
    /// The master keys, as in their file.
    pub master_keys: SecretValue,
}

/// `POST /agent/v1/renew`: a host wants its next certificate. Its present one may have expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewRequest {
    /// The certificate it has, PEM.
    pub certificate_pem: String,
    /// A signing request by the same key, PEM: the proof that it holds it.
    pub request_pem: String,
    /// Its clock.
    pub time: Timestamp,
}

/// The next certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewAnswer {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The cluster's authorities, PEM.
    pub authorities_pem: String,
}
