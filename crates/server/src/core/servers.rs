//! This server among the others: its name, who leads, whether its store is there, what the leader
//! has published, and how hosts on other servers are asked for logs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use api::error::ApiError;
use api::host::DomainPath;
use api::id::{AppName, HostId, ServerId};
use api::liveness::Liveness;
use api::operation::AppStatus;
use api::protocol::{LogLine, LogRequest};
use api::server::{EtcdMember, Server, ServerView};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::leases::Granting;
use super::published::Published;
use super::vips::refuse_vip_of_server;
use super::{Change, Core, Row, Term, View};

/// Where agents answer probes when nothing else is said.
const PROBE_PORT: u16 = 7444;

/// Asks another server what it alone knows.
#[async_trait]
pub trait PeerRelay: Send + Sync {
    /// How an app is, of the server that leads.
    ///
    /// # Errors
    /// Why it did not answer, for people.
    async fn status(&self, app: &AppName) -> Result<Vec<AppStatus>, String>;

    /// Asks for log lines of a host whose stream it holds. Lets the lines come until the asker
    /// leaves or there are no more.
    fn ask(&self, host: HostId, request: LogRequest, lines: mpsc::Sender<LogLine>);
}

/// Asks the members of the cluster's etcd how they are.
#[async_trait]
pub trait MemberSource: Send + Sync {
    /// All of them by their servers' names; those that do not answer are [`MemberState::Silent`].
    ///
    /// [`MemberState::Silent`]: api::server::MemberState::Silent
    async fn members(&self) -> BTreeMap<String, EtcdMember>;
}

/// This server among the others.
pub struct Servers {
    /// Its own name.
    pub me: ServerId,
    /// Where agents, other servers and users reach it, `HOST:PORT`.
    pub address: String,
    /// The failure domain it stands in, as far as it was told.
    pub domain: DomainPath,
    /// The host whose machine it runs on, where it was told.
    pub host: Option<HostId>,
    /// The port of agents that answers probes.
    pub probe_port: u16,
    /// What the leader has published.
    pub published: Published,
    /// What it granted to singletons, where it leads.
    pub leases: Granting,
    leader: Mutex<Option<String>>,
    term: Mutex<Option<Term>>,
    store: watch::Sender<bool>,
    believed: watch::Sender<BTreeMap<HostId, Liveness>>,
    relays: Mutex<BTreeMap<ServerId, Arc<dyn PeerRelay>>>,
    members: OnceLock<Arc<dyn MemberSource>>,
}

impl Servers {
    /// A server that knows no other yet.
    #[must_use]
    pub fn new(me: ServerId, address: impl Into<String>) -> Self {
        Self {
            me,
            address: address.into(),
            domain: DomainPath::default(),
            host: None,
            probe_port: PROBE_PORT,
            published: Published::default(),
            leases: Granting::default(),
            leader: Mutex::new(None),
            term: Mutex::new(None),
            store: watch::Sender::new(true),
            believed: watch::Sender::default(),
            relays: Mutex::new(BTreeMap::new()),
            members: OnceLock::new(),
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
            for (host, now) in &hosts {
                if before.get(host).is_some_and(|before| before != now) {
                    tracing::info!(%host, believed = ?now, "a host");
                }
            }
            *before = hosts;
            changed
        });
    }

    /// What is believed of hosts where this server leads, and each change of that.
    #[must_use]
    pub fn believed(&self) -> watch::Receiver<BTreeMap<HostId, Liveness>> {
        self.believed.subscribe()
    }

    /// Sets how the members of the etcd are asked that the servers supervise; once.
    pub fn set_members(&self, source: Arc<dyn MemberSource>) {
        if self.members.set(source).is_err() {
            tracing::error!("whom to ask for the members of etcd is known already");
        }
    }

    /// Sets how another server is asked; none when it is out of reach.
    pub fn set_relay(&self, server: &ServerId, relay: Option<Arc<dyn PeerRelay>>) {
        let mut relays = self.relays.lock();
        match relay {
            Some(relay) => relays.insert(server.clone(), relay),
            None => relays.remove(server),
        };
    }

    /// How another server is asked.
    #[must_use]
    pub fn relay(&self, server: &ServerId) -> Option<Arc<dyn PeerRelay>> {
        self.relays.lock().get(server).cloned()
    }
}

impl Core {
    /// Writes this server down where all others, agents and users find it.
    ///
    /// # Errors
    /// When its address is a virtual one, or what the store answers.
    pub async fn introduce(&self) -> Result<(), ApiError> {
        loop {
            refuse_vip_of_server(&self.view(), &self.servers.address)?;
            let server = Server {
                name: self.servers.me.clone(),
                address: self.servers.address.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started: self.now(),
                domain: self.servers.domain.clone(),
                host: self.servers.host.clone(),
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

    /// Whether a server is known to run on another machine than this one.
    #[must_use]
    pub fn is_elsewhere(&self, view: &View, server: &ServerId) -> bool {
        let row = view.servers.get(server.as_str()).filter(|_| *server != self.servers.me);
        row.and_then(|row| row.ip()).is_some_and(|ip| self.is_distant(ip))
    }

    /// All servers.
    #[must_use]
    pub fn list_servers(&self) -> Vec<ServerView> {
        let leader = self.servers.leader();
        let heard = self.agents.gathered.servers(&self.servers.me);
        let view = self.view();
        let shown = |row: &Arc<Row<Server>>| {
            let mut server = row.document.body.clone();
            let on = view.hosts.values().find(|host| server.runs_on(host));
            if let Some(host) = on.filter(|_| server.domain.levels().is_empty()) {
                server.domain = host.domain.clone();
            }
            server.host = on.map(|host| host.name.clone()).or(server.host);
            let heard = heard.get(&row.name).filter(|heard| heard.connected);
            ServerView {
                server,
                leads: leader.as_deref() == Some(row.name.as_str()),
                connected: heard.is_some(),
                store: heard.map(|heard| heard.word.store),
                member: None,
                hears: heard.map(|heard| heard.word.hears.clone()).unwrap_or_default(),
            }
        };
        view.servers.values().map(shown).collect()
    }

    /// The same, with how each one's member of the cluster's etcd is now.
    pub async fn show_servers(&self) -> Vec<ServerView> {
        let mut servers = self.list_servers();
        let Some(source) = self.servers.members.get() else { return servers };
        let mut members = source.members().await;
        for view in &mut servers {
            view.member = members.remove(view.server.name.as_str());
        }
        servers
    }
}
