//! This server among the others: its name, who leads, whether its store is there, what the leader
//! has published, and how hosts on other servers are asked for logs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::error::ApiError;
use api::id::{HostId, ServerId};
use api::liveness::Liveness;
use api::protocol::{LogLine, LogRequest};
use api::server::{Server, ServerView};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::published::Published;
use super::{Change, Core, Term};

/// Where agents answer probes when nothing else is said.
const PROBE_PORT: u16 = 7444;

/// Asks another server for log lines of a host whose stream it holds.
pub trait LogRelay: Send + Sync {
    /// Lets the lines come until the asker leaves or there are no more.
    fn ask(&self, host: HostId, request: LogRequest, lines: mpsc::Sender<LogLine>);
}

/// This server among the others.
pub struct Servers {
    /// Its own name.
    pub me: ServerId,
    /// Where agents, other servers and users reach it, `HOST:PORT`.
    pub address: String,
    /// The port of agents that answers probes.
    pub probe_port: u16,
    /// What the leader has published.
    pub published: Published,
    leader: Mutex<Option<String>>,
    term: Mutex<Option<Term>>,
    store: watch::Sender<bool>,
    believed: watch::Sender<BTreeMap<HostId, Liveness>>,
    relays: Mutex<BTreeMap<ServerId, Arc<dyn LogRelay>>>,
}

impl Servers {
    /// A server that knows no other yet.
    #[must_use]
    pub fn new(me: ServerId, address: impl Into<String>) -> Self {
        Self {
            me,
            address: address.into(),
            probe_port: PROBE_PORT,
            published: Published::default(),
            leader: Mutex::new(None),
            term: Mutex::new(None),
            store: watch::Sender::new(true),
            believed: watch::Sender::default(),
            relays: Mutex::new(BTreeMap::new()),
        }
    }

    /// Notes who leads.
    pub fn note_leader(&self, leader: Option<&str>) {
        *self.leader.lock() = leader.map(str::to_owned);
    }

    /// Who leads, as far as this server has seen.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.leader.lock().clone()
    }

    /// Notes that this server leads, or that it does not any more.
    pub fn note_term(&self, term: Option<Term>) {
        *self.term.lock() = term;
    }

    /// The term in which this server leads, as far as it knows.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.term.lock().clone()
    }

    /// Notes whether the store answered lately.
    pub fn note_store(&self, reachable: bool) {
        self.store.send_if_modified(|before| std::mem::replace(before, reachable) != reachable);
    }

    /// Whether the store answered within the last second, and each change of that.
    #[must_use]
    pub fn store_reachable(&self) -> watch::Receiver<bool> {
        self.store.subscribe()
    }

    /// Notes what is believed of hosts, on the leader.
    pub fn believe(&self, hosts: BTreeMap<HostId, Liveness>) {
        self.believed.send_if_modified(|before| {
            let changed = *before != hosts;
            *before = hosts;
            changed
        });
    }

    /// What is believed of hosts where this server leads, and each change of that.
    #[must_use]
    pub fn believed(&self) -> watch::Receiver<BTreeMap<HostId, Liveness>> {
        self.believed.subscribe()
    }

    /// Sets how another server is asked for logs; none when it is out of reach.
    pub fn set_relay(&self, server: &ServerId, relay: Option<Arc<dyn LogRelay>>) {
        let mut relays = self.relays.lock();
        match relay {
            Some(relay) => relays.insert(server.clone(), relay),
            None => relays.remove(server),
        };
    }

    /// How another server is asked for logs.
    #[must_use]
    pub fn relay(&self, server: &ServerId) -> Option<Arc<dyn LogRelay>> {
        self.relays.lock().get(server).cloned()
    }
}

impl Core {
    /// Writes this server down where all others, agents and users find it.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn introduce(&self) -> Result<(), ApiError> {
        loop {
            let server = Server {
                name: self.servers.me.clone(),
                address: self.servers.address.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started: self.now(),
            };
            let view = self.view();
            let row = view.servers.get(self.servers.me.as_str()).map(AsRef::as_ref);
            match self.commit(Change::new().put(row, &server)).await {
                // An earlier process of this server may have written after our view.
                Err(error) if error.code == api::error::ErrorCode::Conflict => {
                    self.wait_for(store::Revision(view.revision.0 + 1)).await;
                }
                other => return other.map(|_| ()),
            }
        }
    }

    /// Whether an address is of another machine than this.
    #[must_use]
    pub fn is_distant(&self, from: IpAddr) -> bool {
        let host = self.servers.address.rsplit_once(':').map(|(host, _)| host);
        let own = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        !from.is_loopback() && own != Some(from)
    }

    /// All servers.
    #[must_use]
    pub fn list_servers(&self) -> Vec<ServerView> {
        let (leader, heard) = (self.servers.leader(), self.agents.gathered.peers());
        let view = self.view();
        let servers = view.servers.values();
        servers
            .map(|row| ServerView {
                server: row.document.body.clone(),
                leads: leader.as_deref() == Some(row.name.as_str()),
                connected: row.name == self.servers.me || heard.contains(&row.name),
            })
            .collect()
    }
}
