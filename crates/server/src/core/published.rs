//! What the leader has published: tables and observers' lists, as each server hands them to its
//! agents. The leader puts them here and tells the other servers, which put them here too.

use std::collections::BTreeMap;

use api::id::{Generation, HostId, ServerId};
use api::ingress::IngressTable;
use api::liveness::Observe;
use api::network::{NetworkTable, VipTable};
use api::protocol::Down;
use api::warm::Warm;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::gathered::Gathered;
use super::words::Word;

/// The leader's documents.
#[derive(Default)]
pub struct Published {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    term: u64,
    /// Whether this server published them itself, so that it is the one to tell others.
    own: bool,
    network: Option<NetworkTable>,
    ingress: Option<IngressTable>,
    observers: BTreeMap<HostId, Observe>,
    servers: BTreeMap<ServerId, Observe>,
    vips: Option<VipTable>,
    warm: BTreeMap<HostId, Warm>,
    frames: Option<TableFrames>,
}

/// Both tables of one generation, ready to be sent to agents.
#[derive(Debug, Clone)]
pub struct TableFrames {
    /// Of both.
    pub generation: Generation,
    /// Services and addresses.
    pub network: Bytes,
    /// Routes.
    pub ingress: Bytes,
}

impl Published {
    /// Tells of each change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The tables that agents are to have; none before a leader has published any.
    #[must_use]
    pub fn tables(&self) -> Option<TableFrames> {
        self.state.lock().frames.clone()
    }

    /// Whom a host is to probe.
    #[must_use]
    pub fn observe(&self, host: &HostId) -> Option<Observe> {
        self.state.lock().observers.get(host).cloned()
    }

    /// Whom a server is to probe; nobody where the leader gave it no list.
    #[must_use]
    pub fn observe_from(&self, server: &ServerId) -> Observe {
        self.state.lock().servers.get(server).cloned().unwrap_or_default()
    }

    /// Whom all hosts and servers are to probe.
    #[must_use]
    pub fn observers(&self) -> (BTreeMap<HostId, Observe>, BTreeMap<ServerId, Observe>) {
        let state = self.state.lock();
        (state.observers.clone(), state.servers.clone())
    }

    /// What a host is to have ahead of need; none before a leader said so.
    #[must_use]
    pub fn warm(&self, host: &HostId) -> Option<Warm> {
        self.state.lock().warm.get(host).cloned()
    }

    /// The generation of what a host is to have ahead of need.
    #[must_use]
    pub fn warm_generation(&self, host: &HostId) -> Option<Generation> {
        self.state.lock().warm.get(host).map(|warm| warm.generation)
    }

    /// Puts what hosts are to have ahead of need in place and tells the other servers.
    pub fn lead_warm(&self, gathered: &Gathered, term: u64, lists: BTreeMap<HostId, Warm>) {
        {
            let mut state = self.state.lock();
            if !state.begin(term, true) || state.warm == lists {
                return;
            }
            state.warm.clone_from(&lists);
        }
        self.changed.send_replace(());
        gathered.tell(|| Word::Warm { term, lists });
    }

    /// The virtual addresses that a host may hold.
    #[must_use]
    pub fn vips(&self, host: &HostId) -> Option<VipTable> {
        self.state.lock().vips.as_ref().map(|table| table.for_host(host))
    }

    /// The generation of the table of virtual addresses.
    #[must_use]
    pub fn vips_generation(&self) -> Option<Generation> {
        self.state.lock().vips.as_ref().map(|table| table.generation)
    }

    /// Puts the leader's own table of virtual addresses in place and tells the other servers.
    pub fn lead_vips(&self, gathered: &Gathered, term: u64, table: VipTable) {
        {
            let mut state = self.state.lock();
            if !state.begin(term, true) {
                return;
            }
            state.vips = Some(table.clone());
        }
        self.changed.send_replace(());
        gathered.tell(|| Word::Vips { term, table });
    }

    /// Puts the leader's own tables in place and tells the other servers.
    pub fn lead_tables(
        &self,
        gathered: &Gathered,
        term: u64,
        network: NetworkTable,
        ingress: IngressTable,
    ) {
        let words = {
            let mut state = self.state.lock();
            if !state.begin(term, true) {
                return;
            }
            state.ingress = Some(ingress);
            state.network = Some(network);
            state.encode();
            state.table_words()
        };
        self.changed.send_replace(());
        words.into_iter().for_each(|word| gathered.tell(|| word));
    }

    /// Puts the leader's own lists in place and tells the other servers.
    pub fn lead_observers(
        &self,
        gathered: &Gathered,
        term: u64,
        lists: BTreeMap<HostId, Observe>,
        servers: BTreeMap<ServerId, Observe>,
    ) {
        {
            let mut state = self.state.lock();
            if !state.begin(term, true) || (state.observers == lists && state.servers == servers) {
                return;
            }
            state.observers.clone_from(&lists);
            state.servers.clone_from(&servers);
        }
        self.changed.send_replace(());
        gathered.tell(|| Word::Observers { term, lists, servers });
    }

    /// Takes over what another server published. What is of an older term than the newest seen
    /// comes from a leader that was replaced, and is passed over.
    pub fn take(&self, word: Word) {
        let mut state = self.state.lock();
        match word {
            Word::Routes { term, ingress } if state.begin(term, false) => {
                state.ingress = Some(ingress);
            }
            Word::Tables { term, network } if state.begin(term, false) => {
                state.network = Some(network);
            }
            Word::Warm { term, lists } if state.begin(term, false) => state.warm = lists,
            Word::Vips { term, table } if state.begin(term, false) => state.vips = Some(table),
            Word::Observers { term, lists, servers } if state.begin(term, false) => {
                (state.observers, state.servers) = (lists, servers);
            }
            _ => return,
        }
        state.encode();
        drop(state);
        self.changed.send_replace(());
    }

    /// What a server that has just connected must be told; nothing unless this one published it.
    #[must_use]
    pub fn tell_all(&self) -> Vec<Word> {
        let state = self.state.lock();
        if !state.own {
            return Vec::new();
        }
        let mut words = state.table_words();
        let (lists, servers) = (state.observers.clone(), state.servers.clone());
        words.push(Word::Observers { term: state.term, lists, servers });
        words.push(Word::Warm { term: state.term, lists: state.warm.clone() });
        let vips = state.vips.clone();
        words.extend(vips.map(|table| Word::Vips { term: state.term, table }));
        words
    }
}

impl State {
    /// Whether documents of a term are to be taken. A later term begins with nothing of its own;
    /// agents keep what they have until it comes.
    fn begin(&mut self, term: u64, own: bool) -> bool {
        if term < self.term {
            return false;
        }
        if term > self.term {
            self.network = None;
            self.vips = None;
            self.ingress = None;
        }
        self.term = term;
        self.own = own;
        true
    }

    /// Makes frames when both tables are there and of one generation.
    fn encode(&mut self) {
        let (Some(network), Some(ingress)) = (&self.network, &self.ingress) else { return };
        let known = self.frames.as_ref().map(|frames| frames.generation);
        if network.generation != ingress.generation || known == Some(network.generation) {
            return;
        }
        let network_frame = api::frame::encode(&Down::Network(network.clone()));
        let ingress_frame = api::frame::encode(&Down::Ingress(ingress.clone()));
        match (network_frame, ingress_frame) {
            (Ok(frame), Ok(routes)) => {
                self.frames = Some(TableFrames {
                    generation: network.generation,
                    network: frame.into(),
                    ingress: routes.into(),
                });
            }
            (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "encode tables"),
        }
    }

    fn table_words(&self) -> Vec<Word> {
        let (Some(network), Some(ingress)) = (&self.network, &self.ingress) else {
            return Vec::new();
        };
        let term = self.term;
        vec![
            Word::Routes { term, ingress: ingress.clone() },
            Word::Tables { term, network: network.clone() },
        ]
    }
}
