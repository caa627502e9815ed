//! Hosts: the machines that run instances.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{HostId, InvalidName};
use crate::time::Timestamp;
use crate::unit::{Bytes, MilliCpu};

/// A host as the cluster knows it: what operators and its join decided. What it reports of itself
/// is in its [status](crate::status::HostStatus).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Its name.
    pub name: HostId,
    /// The failure domain it stands in.
    pub domain: DomainPath,
    /// Labels, for placement and roles; `ingress = "true"` makes it serve the ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The addresses of its instances.
    #[schemars(with = "String")]
    pub subnet: Ipv4Net,
    /// Where other hosts reach it.
    pub address: Ipv4Addr,
    /// What may happen on it.
    pub state: HostState,
    /// When it joined.
    pub joined: Timestamp,
    /// Since when it is taken for dead and its instances are replaced elsewhere; nothing while a
    /// server or an observer hears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since: Option<Timestamp>,
}

impl Host {
    /// Whether it is taken for dead.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down_since.is_some()
    }

    /// Whether it serves the ingress.
    #[must_use]
    pub fn serves_ingress(&self) -> bool {
        self.labels.get("ingress").is_some_and(|label| label == "true")
    }
}

/// What operators decided may happen on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Takes instances.
    Ready,
    /// Its instances are being moved off; it takes no new ones.
    Draining,
}

/// A path of failure domains, outermost first, e.g. `zone-a/rack-3/hypervisor-12`; the host itself
/// is the innermost and not written. Empty when nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainPath(Vec<String>);

impl DomainPath {
    /// The most levels above the host.
    pub const MAX_LEVELS: usize = 6;

    /// The levels, outermost first.
    #[must_use]
    pub fn levels(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for DomainPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.join("/"))
    }
}

impl FromStr for DomainPath {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let levels: Vec<String> = s.split('/').filter(|l| !l.is_empty()).map(Into::into).collect();
        let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if levels.len() > Self::MAX_LEVELS || levels.iter().any(|l| l.len() > 63 || l.contains(bad))
        {
            return Err(InvalidName {
                what: "failure domain",
                value: s.chars().take(80).collect(),
                reason: "expected up to 6 names of a-z A-Z 0-9 - _ . joined by '/'".into(),
            });
        }
        Ok(Self(levels))
    }
}

impl TryFrom<String> for DomainPath {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        s.parse()
    }
}

impl From<DomainPath> for String {
    fn from(path: DomainPath) -> String {
        path.to_string()
    }
}

impl JsonSchema for DomainPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DomainPath".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["zone-a/rack-3/hypervisor-12"] })
    }
}

/// What a host has to give to instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Processor time.
    pub cpu: MilliCpu,
    /// Memory, after what the host itself keeps.
    pub memory: Bytes,
    /// Process ids.
    pub pids: u32,
    /// Disk for scratch space.
    pub disk: Bytes,
    /// How many instances at most: addresses of the subnet.
    pub instances: u32,
}
