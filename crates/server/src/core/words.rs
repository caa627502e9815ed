//! What servers know of hosts from the agents' streams, and how they tell each other. Each server
//! speaks of the streams it holds; what it says of a host counts as of when it heard that host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::id::{HostId, ServerId};
use api::ingress::IngressTable;
use api::lease::{LeaseAnswer, LeaseRequest};
use api::liveness::{Observe, Observed};
use api::network::{NetworkTable, VipTable};
use api::protocol::Acknowledge;
use api::status::HostStatus;
use api::traffic::RouteTraffic;
use api::unit::Millis;
use api::vip::HeldSince;
use api::warm::Warm;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The version of what servers say to each other.
pub const PEER_VERSION: u32 = 1;

/// How often a server says how long ago it heard its hosts.
pub const AGES_EVERY: Duration = Duration::from_millis(100);

/// What one server tells another. Everything is whole and replaces what was said before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Word {
    /// First on every stream.
    Hello {
        /// [`PEER_VERSION`] of who speaks.
        version: u32,
        /// Who speaks; must agree with its certificate.
        server: ServerId,
    },
    /// All hosts whose stream it holds, and the server's own word. Hosts that are left out have no
    /// stream there.
    Ages {
        /// One for each.
        hosts: Vec<Age>,
        /// What the server says of itself.
        server: ServerWord,
    },
    /// A host's report.
    Status(HostStatus),
    /// What a host has in place.
    Acknowledge {
        /// The host.
        host: HostId,
        /// What it has.
        acknowledge: Acknowledge,
    },
    /// What a host's proxy counted.
    Traffic {
        /// The host.
        host: HostId,
        /// One per route.
        routes: Vec<RouteTraffic>,
    },
    /// What a host finds as an observer.
    Observed {
        /// The host.
        host: HostId,
        /// What it finds.
        observed: Observed,
    },
    /// The virtual addresses that a host holds.
    Holds {
        /// The host.
        host: HostId,
        /// All of them.
        addresses: Vec<HeldSince>,
    },
    /// The leader's table of virtual addresses.
    Vips {
        /// The leader's term.
        term: u64,
        /// For all hosts; each gets its part.
        table: VipTable,
    },
    /// A host's request for leases, to the leader alone, from the server that holds its stream.
    LeaseRequest {
        /// The host.
        host: HostId,
        /// What it asks.
        request: LeaseRequest,
    },
    /// The leader's answer, to the server that brought the request.
    LeaseAnswer {
        /// The host that asked.
        host: HostId,
        /// What became of it.
        answer: LeaseAnswer,
    },
    /// The leader's tables, for the agents of the server that is told.
    Tables {
        /// The leader's term.
        term: u64,
        /// Services and addresses.
        network: NetworkTable,
    },
    /// The leader's routes; comes before the tables of the same generation.
    Routes {
        /// The leader's term.
        term: u64,
        /// Routes.
        ingress: IngressTable,
    },
    /// What each host is to have ahead of need and whom it may ask and answer, as the leader chose.
    Warm {
        /// The leader's term.
        term: u64,
        /// By host; those that are left out are to have nothing.
        lists: BTreeMap<HostId, Warm>,
    },
    /// Whom each host and server is to probe, as the leader chose.
    Observers {
        /// The leader's term.
        term: u64,
        /// By host.
        lists: BTreeMap<HostId, Observe>,
        /// By server.
        servers: BTreeMap<ServerId, Observe>,
    },
}

/// What a server says of itself, again and again: it counts as of when it is heard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerWord {
    /// What it finds as an observer; none before it was told whom to probe.
    #[serde(default)]
    pub observed: Option<Observed>,
    /// Whether it has its store.
    pub store: bool,
    /// How long ago it heard each other server.
    pub hears: BTreeMap<ServerId, Millis>,
}

/// How long ago a server heard a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// The host.
    pub host: HostId,
    /// How long ago.
    pub age: Millis,
    /// Whether the host's stream crosses a network.
    pub distant: bool,
    /// Whether its report came by the stream that lives.
    #[serde(default)]
    pub reported: bool,
}

/// What a server knows of one host.
#[derive(Debug, Clone)]
pub(super) struct HostWords {
    /// Whether the server holds its stream.
    pub(super) connected: bool,
    /// Whether that stream crosses a network.
    pub(super) distant: bool,
    /// Whether its report came by that stream; else it is of the time before.
    pub(super) reported: bool,
    /// When the server heard it last.
    pub(super) heard: Instant,
    pub(super) status: Option<Arc<HostStatus>>,
    pub(super) acknowledged: Option<Acknowledge>,
    pub(super) traffic: Vec<RouteTraffic>,
    pub(super) observed: Option<Observed>,
    /// The virtual addresses that it holds.
    pub(super) holds: Vec<HeldSince>,
}

impl HostWords {
    fn new(heard: Instant) -> Self {
        Self {
            connected: false,
            distant: false,
            reported: false,
            heard,
            status: None,
            acknowledged: None,
            traffic: Vec::new(),
            observed: None,
            holds: Vec::new(),
        }
    }

    /// The stream is gone.
    pub(super) fn part(&mut self) {
        (self.connected, self.reported) = (false, false);
    }
}

/// What one server knows of hosts.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) hosts: BTreeMap<HostId, HostWords>,
}

impl Words {
    /// A host's place; a new one was heard `now`.
    pub(super) fn of(&mut self, host: &HostId, now: Instant) -> &mut HostWords {
        self.hosts.entry(host.clone()).or_insert_with(|| HostWords::new(now))
    }

    /// A host's stream ended. Its report stays: it is the newest there is.
    pub(super) fn left(&mut self, host: &HostId) {
        if let Some(words) = self.hosts.get_mut(host) {
            words.part();
            words.acknowledged = None;
            words.observed = None;
            words.holds.clear();
        }
    }

    /// Takes over how long ago another server heard its hosts.
    pub(super) fn ages(&mut self, ages: &[Age], now: Instant) -> bool {
        let present: std::collections::BTreeSet<&HostId> =
            ages.iter().map(|age| &age.host).collect();
        let held =
            self.hosts.iter().filter(|(host, words)| words.connected && !present.contains(host));
        let gone: Vec<HostId> = held.map(|(host, _)| host.clone()).collect();
        let mut changed = !gone.is_empty();
        for host in gone {
            self.left(&host);
        }
        for age in ages {
            let heard = now.checked_sub(age.age.duration()).unwrap_or(now);
            let words = self.of(&age.host, heard);
            changed |= (words.connected, words.reported) != (true, age.reported);
            (words.connected, words.reported) = (true, age.reported);
            words.distant = age.distant;
            words.heard = heard.max(words.heard);
        }
        changed
    }

    /// Everything as words for a server that knows nothing yet.
    pub(super) fn tell_all(&self, now: Instant, server: ServerWord) -> Vec<Word> {
        let mut words = vec![self.tell_ages(now, server)];
        for (host, known) in self.hosts.iter().filter(|(_, known)| known.connected) {
            let host = || host.clone();
            words.extend(known.status.as_deref().cloned().map(Word::Status));
            let acknowledge = |acknowledge| Word::Acknowledge { host: host(), acknowledge };
            words.extend(known.acknowledged.map(acknowledge));
            if !known.traffic.is_empty() {
                words.push(Word::Traffic { host: host(), routes: known.traffic.clone() });
            }
            let observed = |observed| Word::Observed { host: host(), observed };
            words.extend(known.observed.clone().map(observed));
            if !known.holds.is_empty() {
                words.push(Word::Holds { host: host(), addresses: known.holds.clone() });
            }
        }
        words
    }

    /// How long ago each connected host was heard.
    pub(super) fn tell_ages(&self, now: Instant, server: ServerWord) -> Word {
        let held = self.hosts.iter().filter(|(_, words)| words.connected);
        let hosts = held.map(|(host, words)| Age {
            host: host.clone(),
            age: age(words.heard, now),
            distant: words.distant,
            reported: words.reported,
        });
        Word::Ages { hosts: hosts.collect(), server }
    }
}

/// How long ago something was.
pub(super) fn age(then: Instant, now: Instant) -> Millis {
    let age = now.saturating_duration_since(then).as_millis();
    Millis(u64::try_from(age).unwrap_or(u64::MAX))
}
