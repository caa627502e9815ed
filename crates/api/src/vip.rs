//! Virtual addresses: what operators decided about them. Who holds one is agreed among its hosts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::id::HostId;
use crate::time::Timestamp;

/// An address that the ingress answers on, held by one ingress host of its segment at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VirtualAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// The network that the address is of; hosts whose own address is in it are on its segment.
    #[schemars(with = "String")]
    pub segment: Ipv4Net,
    /// Who of the segment may hold it, and who is preferred.
    #[serde(flatten)]
    pub choice: VipChoice,
    /// When it was made.
    pub created: Timestamp,
}

/// Who of a segment may hold an address, and who is preferred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VipChoice {
    /// Only these hosts may; empty means all of the segment that serve the ingress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostId>,
    /// Labels that a host must carry besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The preferred hosts, the most preferred first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<HostId>,
    /// Whether a preferred host takes the address back when it returns. Each move costs clients
    /// their connections.
    #[serde(default)]
    pub take_back: bool,
}

impl VirtualAddress {
    /// Whether a host may hold it: it serves the ingress, is on the segment and is chosen.
    #[must_use]
    pub fn may_be_held_by(&self, host: &Host) -> bool {
        let choice = &self.choice;
        host.serves_ingress()
            && self.segment.contains(&host.address)
            && (choice.hosts.is_empty() || choice.hosts.contains(&host.name))
            && choice.labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
    }

    /// What is wrong with it by itself, for people; nothing when it is sound.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let (address, segment) = (self.address, self.segment);
        let special = address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_broadcast();
        if special {
            return Some(format!("{address} is no address that a host can have"));
        }
        if !(8..=30).contains(&segment.prefix_len()) {
            return Some(format!("{segment} is no segment: its prefix is not one of /8 to /30"));
        }
        if !segment.contains(&address) {
            return Some(format!("{address} is not of the network {segment}"));
        }
        if address == segment.network() || address == segment.broadcast() {
            return Some(format!("{address} is the first or the last address of {segment}"));
        }
        let choice = &self.choice;
        let chosen = |host: &HostId| choice.hosts.is_empty() || choice.hosts.contains(host);
        if let Some(host) = choice.prefer.iter().find(|host| !chosen(host)) {
            return Some(format!("host {host} is preferred and not among those that may hold it"));
        }
        if twice(&choice.hosts) || twice(&choice.prefer) {
            return Some("a host is named twice".to_owned());
        }
        None
    }
}

fn twice(hosts: &[HostId]) -> bool {
    hosts.iter().enumerate().any(|(at, host)| hosts.iter().take(at).any(|other| other == host))
}

/// `POST /v1/vips`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VipRequest {
    /// The address.
    pub address: Ipv4Addr,
    /// The network that it is of.
    #[schemars(with = "String")]
    pub segment: Ipv4Net,
    /// Who may hold it, and who is preferred.
    #[serde(flatten)]
    pub choice: VipChoice,
}

/// An address as listed: `GET /v1/vips`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VipView {
    /// The address.
    #[serde(flatten)]
    pub vip: VirtualAddress,
    /// Who holds it, as the hosts say themselves. Two only for the moment in which one was frozen.
    pub holders: Vec<VipHolder>,
    /// Who may, the most preferred first.
    pub candidates: Vec<VipCandidateView>,
    /// What keeps it from being held, for people; nothing when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VipHolder {
    /// The host.
    pub host: HostId,
    /// Since when.
    pub since: Timestamp,
}

/// Who may hold an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VipCandidateView {
    /// The host.
    pub host: HostId,
    /// The higher is preferred.
    pub priority: u8,
    /// Whether its agent is connected to a server.
    pub connected: bool,
}

/// An address that a host holds, as servers tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSince {
    /// The address.
    pub address: Ipv4Addr,
    /// Since when, by the clock of the server that was told.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(address: &str, segment: &str) -> VirtualAddress {
        VirtualAddress {
            address: address.parse().unwrap(),
            segment: segment.parse().unwrap(),
            choice: VipChoice::default(),
            created: Timestamp(0),
        }
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        assert_eq!(vip("10.0.0.100", "10.0.0.0/24").problem(), None);
        for (address, segment) in [
            ("10.0.1.100", "10.0.0.0/24"),
            ("10.0.0.0", "10.0.0.0/24"),
            ("10.0.0.255", "10.0.0.0/24"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.1", "0.0.0.0/0"),
            ("127.0.0.1", "127.0.0.0/8"),
            ("224.0.0.1", "224.0.0.0/24"),
            ("0.0.0.0", "0.0.0.0/8"),
        ] {
            assert!(vip(address, segment).problem().is_some(), "{address} of {segment}");
        }
        let host = |name: &str| HostId::new(name).unwrap();
        let mut twice = vip("10.0.0.100", "10.0.0.0/24");
        twice.choice.prefer = vec![host("a"), host("a")];
        assert!(twice.problem().is_some());
        let mut stranger = vip("10.0.0.100", "10.0.0.0/24");
        stranger.choice.hosts = vec![host("a")];
        stranger.choice.prefer = vec![host("b")];
        assert!(stranger.problem().unwrap().contains("host b"));
    }

    #[test]
    fn a_document_is_one_object_and_survives_the_wire() {
        let mut vip = vip("10.0.0.100", "10.0.0.0/24");
        vip.choice.prefer = vec![HostId::new("a").unwrap()];
        let value = serde_json::to_value(&vip).unwrap();
        assert_eq!(value["prefer"], serde_json::json!(["a"]));
        assert_eq!(serde_json::from_value::<VirtualAddress>(value).unwrap(), vip);
    }
}
