//! What agents and servers say to each other. The agent dials out and holds one stream; frames are
//! a length and JSON. Documents come whole with a generation: an older one is refused, so is the
//! same generation with other content.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::about::About;
use crate::assignment::Assignment;
use crate::authority::Authorities;
use crate::host::{Capacity, DomainPath};
use crate::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use crate::ingress::IngressTable;
use crate::lease::{LeaseAnswer, LeaseRequest};
use crate::liveness::{Observe, Observed};
use crate::manifest::Spec;
use crate::network::{NetworkTable, VipTable};
use crate::registry::Registry;
use crate::release::Image;
use crate::status::HostStatus;
use crate::traffic::RouteTraffic;
use crate::unit::Millis;
use crate::warm::Warm;

/// The version of the protocol; a server refuses an agent with a higher one.
pub const VERSION: u32 = 1;

/// The largest frame as JSON, in bytes: an assignment (512 KiB) with the workloads of a full host
/// (250 × 16 KiB = 4 MiB) and room.
pub const MAX_FRAME_BYTES: usize = 8 << 20;

/// How often an agent sends a heartbeat.
pub const HEARTBEAT: Millis = Millis(250);

/// From an agent to its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    /// First on every stream.
    Hello(Hello),
    /// The host's report, whole, when it changed.
    Status(HostStatus),
    /// What the host and its proxy have in place.
    Acknowledge(Acknowledge),
    /// What the host's proxy counted, whole, when it changed; at most every five seconds.
    Traffic {
        /// One per route.
        routes: Vec<RouteTraffic>,
    },
    /// What the host finds as an observer of others.
    Observed(Observed),
    /// The virtual addresses that the host holds, all of them, when that changed.
    Holds {
        /// Each once, sorted.
        addresses: Vec<Held>,
    },
    /// Singletons of the host that need a lease; sent every [`crate::lease::LEASE_EVERY`].
    Lease(LeaseRequest),
    /// What the host says of itself, whole: after the greeting, when it changed, and every minute.
    About(Box<About>),
    /// Still there.
    Heartbeat,
}

/// A virtual address that a host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The address.
    pub address: Ipv4Addr,
    /// For how long, when this was said.
    pub held: Millis,
}

/// Who an agent is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the agent.
    pub version: u32,
    /// Its host; must agree with its certificate.
    pub host: HostId,
    /// The binary's version.
    pub binary: String,
    /// What the host has to give.
    pub capacity: Capacity,
    /// Where it stands.
    #[serde(default)]
    pub place: Place,
}

/// Where a host stands, as far as it was told. The cluster takes over what is given and keeps what
/// it knows of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainPath>,
    /// Where other hosts reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The addresses of its instances; decides only when it comes for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Ipv4Net>,
}

/// Which documents a host has in place; none is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// The network table that DNS and the packet filter have.
    pub network: Generation,
    /// The ingress table that the proxy has; none where the host serves no ingress.
    pub ingress: Option<Generation>,
}

/// From a server to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// What to run.
    Assignment {
        /// The assignment, whole.
        assignment: Assignment,
        /// What its entries are made of; all that they name.
        workloads: Vec<Workload>,
    },
    /// Services and addresses.
    Network(NetworkTable),
    /// Whether the host serves the ingress, as its labels say.
    Serve {
        /// It does.
        ingress: bool,
    },
    /// Routes, where the host serves the ingress.
    Ingress(IngressTable),
    /// Addresses that ingress hosts hold in turn.
    Vips(VipTable),
    /// Registries off the cluster, with credentials.
    Registries {
        /// All of them.
        registries: Vec<Registry>,
    },
    /// Asks for log lines: the agent answers on a request of its own, `POST /agent/v1/logs/ID`.
    Logs(LogRequest),
    /// Images to have ahead of need, and which hosts to fetch from.
    Warm(Warm),
    /// Whom to probe.
    Observe(Observe),
    /// All servers of the cluster as `HOST:PORT`, kept for when this one is gone.
    Servers {
        /// All of them, sorted.
        servers: Vec<String>,
    },
    /// What became of a request for leases.
    Lease(LeaseAnswer),
    /// Whom to trust; whoever is not signed by the first asks for a certificate that is.
    Authorities(Authorities),
    /// Whether this server has its store. An agent whose server lost it moves to one that has it;
    /// where none has, it stays.
    Store {
        /// Reachable within the last second.
        reachable: bool,
    },
}

/// What instances of a release in an environment are made of; the same for all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release.
    pub release: ReleaseNumber,
    /// The image.
    pub image: Image,
    /// The manifest, resolved for the environment.
    pub spec: Spec,
    /// Values of the secrets that the spec's environment names, by secret name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretValue>,
}

/// A secret's value; never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretValue(pub String);

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// Names the answer.
    pub id: String,
    /// The instance; dead ones as long as their logs are kept.
    pub instance: InstanceId,
    /// The last lines at most.
    pub tail: u32,
    /// Go on with new lines until the asker leaves.
    pub follow: bool,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogLine {
    /// The instance that wrote it.
    pub instance: InstanceId,
    /// When it was read.
    pub at: crate::time::Timestamp,
    /// Counts the instance's lines, from 1.
    pub sequence: u64,
    /// Whether it came by standard error.
    pub stderr: bool,
    /// The text, invalid UTF-8 replaced.
    pub text: String,
    /// Whether the line was cut here because it was too long.
    #[serde(default)]
    pub partial: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_frame_can_be_a_frame() {
        let host = HostId::new("h").unwrap();
        let down = [
            Down::Assignment { assignment: Assignment::empty(host.clone()), workloads: vec![] },
            Down::Network(NetworkTable::default()),
            Down::Ingress(IngressTable::default()),
            Down::Vips(VipTable::default()),
            Down::Registries { registries: Vec::new() },
            Down::Logs(LogRequest {
                id: "1".into(),
                instance: InstanceId::new("a-b-00000001").unwrap(),
                tail: 1,
                follow: false,
            }),
            Down::Observe(Observe::default()),
            Down::Servers { servers: vec!["server:7443".into()] },
            Down::Authorities(Authorities { generation: 1, pem: String::new() }),
            Down::Store { reachable: true },
            Down::Serve { ingress: true },
            Down::Warm(Warm::default()),
        ];
        for frame in down {
            let text = serde_json::to_string(&frame).unwrap();
            assert!(serde_json::from_str::<Down>(&text).is_ok(), "{text}");
        }
        let traffic = Up::Traffic { routes: vec![RouteTraffic::default()] };
        let observed = Up::Observed(Observed::default());
        let address = Ipv4Addr::LOCALHOST;
        let holds = Up::Holds { addresses: vec![Held { address, held: Millis(1) }] };
        let acknowledge = Up::Acknowledge(Acknowledge::default());
        for frame in [Up::Heartbeat, observed, acknowledge, traffic, holds] {
            let text = serde_json::to_string(&frame).unwrap();
            assert!(serde_json::from_str::<Up>(&text).is_ok(), "{text}");
        }
    }
}
