//! What an agent says of its host: where it stands, whom it trusts, how it was set, and its clock.
//! Said after each greeting and whenever something of it changes.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::Trusts;
use crate::protocol::Place;
use crate::time::Timestamp;
use crate::unit::Millis;

/// How often an agent says it although nothing changed, for its clock.
pub const ABOUT_EVERY: Millis = Millis::secs(60);

/// What an agent says of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Where it stands; may change at any time.
    #[serde(default)]
    pub place: Place,
    /// Why its failure domain could not be found out; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain_problem: String,
    /// Whom it trusts and who signed its certificate.
    #[serde(default)]
    pub trusts: Trusts,
    /// What must be the same on all hosts; none on a host that no other one reaches.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Its clock, for what is reported only: nothing is decided by another machine's clock.
    pub time: Timestamp,
}

/// Settings of an agent that must be the same on all hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// How packets go to other hosts' instances: `--overlay`.
    pub overlay: String,
    /// The UDP port of the tunnel: `--overlay-port`.
    pub overlay_port: u16,
    /// The UDP port of adverts between ingress hosts: `--vip-port`.
    pub vip_port: u16,
    /// The UDP port of probes: `--probe-port`; none where probes are not answered.
    pub probe_port: Option<u16>,
    /// The addresses of all instances: `--instance-range`.
    #[schemars(with = "String")]
    pub instance_range: Ipv4Net,
    /// The addresses of services: `--service-range`.
    #[schemars(with = "String")]
    pub service_range: Ipv4Net,
}

impl Settings {
    /// Each by its flag.
    #[must_use]
    pub fn flags(&self) -> [(&'static str, String); 6] {
        let probes = self.probe_port.map_or_else(|| "none".to_owned(), |port| port.to_string());
        [
            ("--overlay", self.overlay.clone()),
            ("--overlay-port", self.overlay_port.to_string()),
            ("--vip-port", self.vip_port.to_string()),
            ("--probe-port", probes),
            ("--instance-range", self.instance_range.to_string()),
            ("--service-range", self.service_range.to_string()),
        ]
    }
}

/// What is kept of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAbout {
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Why its failure domain could not be found out; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain_problem: String,
    /// By how much its clock was off when that was noticed, to a minute; none when it is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_off: Option<Millis>,
}
