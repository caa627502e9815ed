//! Servers: the processes of the control plane. All are equal, one leads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::{DomainPath, Host};
use crate::id::{HostId, ServerId};
use crate::time::Timestamp;
use crate::unit::Millis;

/// A server as it wrote itself down when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its name.
    pub name: ServerId,
    /// Where agents, other servers and users reach it, `HOST:PORT`.
    pub address: String,
    /// The binary's version.
    pub version: String,
    /// When it started last, by its own clock.
    pub started: Timestamp,
    /// The failure domain it stands in, as far as it was told.
    #[serde(default)]
    pub domain: DomainPath,
    /// The host whose machine it runs on, where it was told; else equal addresses say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

impl Server {
    /// Whether it runs on a host's machine.
    #[must_use]
    pub fn runs_on(&self, host: &Host) -> bool {
        self.host.as_ref() == Some(&host.name) || self.ip() == Some(IpAddr::V4(host.address))
    }

    /// The address of its machine, where it is not given by a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let (host, _) = self.address.rsplit_once(':')?;
        host.trim_matches(['[', ']']).parse().ok()
    }
}

/// A server as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// The server. Where its failure domain was not told, it is that of the host whose machine it
    /// shares.
    #[serde(flatten)]
    pub server: Server,
    /// Whether it leads, as far as the server that answers knows.
    pub leads: bool,
    /// Whether the server that answers hears it.
    pub connected: bool,
    /// Whether it has its store; none where it is not heard.
    #[serde(default)]
    pub store: Option<bool>,
    /// Its member of the cluster's etcd; none where the servers supervise no etcd, or it has none.
    #[serde(default)]
    pub member: Option<EtcdMember>,
    /// How long ago it heard each other server; empty where it is not heard itself.
    #[serde(default)]
    pub hears: BTreeMap<ServerId, Millis>,
}

/// A member of the cluster's etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EtcdMember {
    /// What it is.
    pub state: MemberState,
    /// Its version; empty where it does not answer.
    #[serde(default)]
    pub version: String,
    /// Bytes its database takes on disk; none where it does not answer.
    #[serde(default)]
    pub db_bytes: Option<u64>,
}

/// What a member of the cluster's etcd is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It leads.
    Leader,
    /// It follows the leader.
    Follower,
    /// It has no vote yet.
    Learner,
    /// It knows no leader: no majority is there.
    Leaderless,
    /// It does not answer.
    Silent,
}

/// Whether the cluster is in safe mode: `GET /v1/safe-mode`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SafeModeView {
    /// What was lost at once; none where safe mode is not in force.
    pub lost: Option<LostAtOnce>,
    /// Losses up to this time were accepted by an operator.
    pub accepted: Option<Timestamp>,
    /// Who accepted them: the name of a token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub accepted_by: String,
}

/// So much was lost at once that replacements are paced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostAtOnce {
    /// When the first of the lost hosts was taken for dead.
    pub since: Timestamp,
    /// The lost hosts.
    pub hosts: Vec<HostId>,
    /// The failure domains of the outermost level that are lost whole.
    pub domains: Vec<String>,
    /// Why that is safe mode, for people.
    pub why: String,
}

/// Which machines do not hear each other although servers hear them: `GET /v1/net/doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetReport {
    /// How many pairs of an observer and a host were looked at: those that probe each other.
    pub pairs: u32,
    /// Those of them that do not hear each other, and what else keeps hosts apart.
    pub problems: Vec<NetProblem>,
}

/// What keeps machines apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetProblem {
    /// Who gets no answer: `host NAME` or `server NAME`.
    pub from: String,
    /// Who does not answer it.
    pub to: HostId,
    /// Where that should be reached, e.g. `udp 10.0.0.7:7444`.
    pub at: String,
    /// What is known the other way.
    pub back: WayBack,
    /// What that means, for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What is known of the other direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// The other one gets answers.
    Heard,
    /// The other one gets none either.
    Silent,
    /// The other one does not ask.
    Unknown,
}
