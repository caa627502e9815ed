//! The world: time, the queue of what is to come, and the loop that lets nodes run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use api::status::ExitCause;
use api::time::Timestamp;
use clock::Clock;
use pki::{Keyring, PeerIdentity, PeerRole};
use tokio::sync::{mpsc, oneshot};

use super::check::Check;
use super::far_store::{Call, Reply, Sink};
use super::fault::{Action, Faults};
use super::lanes::{Lane, LaneId};
use super::links::{Fate, Links};
use super::machine::Machine;
use super::node::Node;
use super::pipe::{End, Pipe};
use super::place::{ConnId, Hub, NodeId, Out, Place, Side};
use super::planted::Planted;
use super::random::Random;
use super::server::{Came, Seat};
use super::shape::{Kind, Shape};
use super::store_node::StoreNode;
use super::trace::Trace;
use super::wire::Inbox;
use super::workload::Client;

/// All nodes run for so long in their turn; what one sends another gets in a later turn.
pub(super) const TURN: u64 = 10;

/// The wall time at which worlds begin.
pub(super) const BEGIN: Timestamp = Timestamp(1_795_000_000_000);

/// What is to come.
pub(super) enum What {
    /// A lane has something for its end.
    Lane(LaneId),
    /// A packet arrives.
    Packet { to: NodeId, from: SocketAddr, bytes: Vec<u8> },
    /// Somebody's call arrives at a server.
    Dial { conn: ConnId, to: NodeId, from: NodeId, end: Arc<End>, answer: oneshot::Sender<bool> },
    /// The answer to a call arrives.
    Answer { answer: oneshot::Sender<bool>, taken: bool },
    /// A container ends.
    End { host: usize, container: String },
    /// A process starts.
    Boot(NodeId),
    /// A client asks for something.
    Client,
    /// A fault begins or ends.
    Act(Action),
}

/// What travels on lanes.
pub(super) enum Item {
    Bytes { conn: ConnId, to: Side, bytes: bytes::Bytes },
    Close { conn: ConnId, to: Side, cut: bool },
    Call(NodeId, Box<Call>),
    Reply(oneshot::Sender<Result<Reply, store::StoreError>>, Box<Result<Reply, store::StoreError>>),
    Batch(Arc<Sink>, Box<Result<store::WatchBatch, store::StoreError>>),
}

/// A connection.
pub(super) struct Conn {
    pub(super) ends: [Option<Arc<End>>; 2],
    pub(super) nodes: [NodeId; 2],
    lanes: [LaneId; 2],
}

/// A server's door.
#[derive(Default)]
pub(super) struct Door {
    pub(super) came: Option<mpsc::Sender<Came>>,
    pub(super) place: Option<Place>,
    pub(super) seat: Seat,
}

/// A machine's clock.
pub(super) struct Ticking {
    /// By how much its wall time is off.
    pub(super) offset: i64,
    /// When the machine was started.
    pub(super) since: u64,
    /// The clock of the process that runs.
    pub(super) now: Option<Clock>,
}

/// Everything.
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) now: u64,
    pub(super) links: Links,
    pub(super) faults: Faults,
    pub(super) check: Check,
    pub(super) trace: Trace,
    pub(super) client: Client,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    pub(super) machines: Vec<Arc<Machine>>,
    pub(super) planted: Option<Planted>,
    pub(super) store: StoreNode,
    pub(super) hub: Arc<Hub>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    coming: BTreeMap<u64, What>,
    number: u64,
    lanes: Vec<Lane<Item>>,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) doors: Vec<Door>,
    pub(super) sockets: Vec<Arc<Inbox>>,
    pub(super) clocks: Vec<Ticking>,
    /// Whether each machine has power.
    pub(super) powered: Vec<bool>,
    pub(super) keyring: Arc<Keyring>,
    out: Vec<(u64, NodeId, Out)>,
    arrived: Vec<Item>,
    sent: Vec<super::store_node::Sent>,
    /// Since when hosts have no stream, for a planted bug.
    pub(super) lonely: Vec<Option<u64>>,
}

impl World {
    pub(super) fn new(shape: Shape, seed: u64, keyring: Arc<Keyring>, keep: bool) -> Self {
        let mut random = Random::new(seed);
        let (nodes, store) = (shape.nodes(), shape.store());
        let mut lanes = Vec::new();
        for at in 0..shape.servers {
            lanes.push(Lane::new(shape.server(at), store));
            lanes.push(Lane::new(store, shape.server(at)));
        }
        let faults = Faults::plan(&shape, random.any());
        let mut world = Self {
            now: 0,
            links: Links::new(nodes),
            check: Check::new(),
            trace: Trace::new(keep),
            client: Client::new(random.any()),
            nodes: (0..nodes).map(|at| Node::new(NodeId(at))).collect(),
            machines: (0..shape.hosts).map(|_| Arc::new(Machine::new(random.any()))).collect(),
            planted: None,
            store: StoreNode::new(),
            hub: Arc::default(),
            queue: BinaryHeap::new(),
            coming: BTreeMap::new(),
            number: 0,
            lanes,
            conns: BTreeMap::new(),
            doors: (0..shape.servers).map(|_| Door::default()).collect(),
            sockets: (0..nodes).map(|_| Arc::default()).collect(),
            clocks: Vec::new(),
            keyring,
            out: Vec::new(),
            arrived: Vec::new(),
            sent: Vec::new(),
            powered: vec![true; nodes],
            lonely: vec![None; shape.hosts],
            shape,
            faults,
            random,
        };
        world.clocks = (0..nodes).map(|_| Ticking { offset: 0, since: 0, now: None }).collect();
        for at in 0..nodes - 1 {
            let when = world.random.between(0, 1500);
            world.after(when, What::Boot(NodeId(at)));
        }
        world
    }

    /// Something is to come after so long.
    pub(super) fn after(&mut self, wait: u64, what: What) {
        self.number += 1;
        self.queue.push(Reverse((self.now + wait, self.number)));
        self.coming.insert(self.number, what);
    }

    fn at(&mut self, time: u64, what: What) {
        self.after(time.saturating_sub(self.now), what);
    }

    /// Goes on for one turn.
    pub(super) fn turn(&mut self) {
        while let Some(Reverse((at, number))) = self.queue.peek().copied() {
            if at > self.now {
                break;
            }
            self.queue.pop();
            if let Some(what) = self.coming.remove(&number) {
                self.happens(what);
            }
        }
        let to = self.now + TURN;
        for at in 0..self.nodes.len() {
            self.nodes[at].run_until(to);
            self.take_out();
        }
        self.now = to;
    }

    /// Takes up what has left nodes.
    fn take_out(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.hub.take(&mut out);
        for (at, from, what) in out.drain(..) {
            self.leaves(at, from, what);
        }
        self.out = out;
    }

    fn leaves(&mut self, at: u64, from: NodeId, what: Out) {
        match what {
            Out::Packet { to, bytes } => {
                let std::net::IpAddr::V4(ip) = to.ip() else { return };
                let Some(to) = self.shape.node_at(ip) else { return };
                if let Fate::Arrives(after) = self.links.fate(from, to, &mut self.random) {
                    let from = self.shape.probed_at(from);
                    self.at(at + after, What::Packet { to, from, bytes });
                }
            }
            Out::Bytes { conn, from: side, bytes } => {
                self.on_conn(at, conn, side, |to| Item::Bytes { conn, to, bytes });
            }
            Out::Close { conn, from: side } => {
                if let Some(it) = self.conns.get_mut(&conn) {
                    it.ends[side as usize] = None;
                }
                self.on_conn(at, conn, side, |to| Item::Close { conn, to, cut: false });
            }
            Out::Dial { conn, to, end, answer } => {
                let Some(to) = self.shape.dialled(&to) else { return };
                let after = match self.links.fate(from, to, &mut self.random) {
                    Fate::Arrives(after) => after,
                    Fate::Lost | Fate::Cut => 1000,
                };
                self.at(at + after, What::Dial { conn, to, from, end, answer });
            }
            Out::Call(call) => {
                if let Kind::Server(server) = self.shape.kind(from) {
                    self.on_lane(2 * server, at, Item::Call(from, call));
                }
            }
            Out::End { container, at } => {
                self.at(at, What::End { host: from.0, container });
            }
            Out::Tell(told) => self.told(from, told),
        }
    }

    pub(super) fn on_conn(
        &mut self,
        at: u64,
        conn: ConnId,
        from: Side,
        item: impl FnOnce(Side) -> Item,
    ) {
        if let Some(lane) = self.conns.get(&conn).map(|it| it.lanes[from as usize]) {
            self.on_lane(lane, at, item(from.other()));
        }
    }

    fn on_lane(&mut self, lane: LaneId, at: u64, item: Item) {
        let due = self.lanes[lane].send(item, at, &self.links, &mut self.random);
        if let Some(due) = due {
            self.at(due, What::Lane(lane));
        }
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Lane(lane) => self.lane_is_due(lane),
            What::Packet { to, from, bytes } => {
                if self.nodes[to.0].runs() && !self.is_deaf(to, from, &bytes) {
                    self.sockets[to.0].deliver(from, bytes);
                }
            }
            What::Dial { conn, to, from, end, answer } => self.dialled(conn, to, from, end, answer),
            What::Answer { answer, taken } => {
                let _ = answer.send(taken);
            }
            What::End { host, container } => {
                self.machines[host].end(&container, &ExitCause::Signaled(15));
            }
            What::Boot(node) => self.boot(node),
            What::Client => self.ask(),
            What::Act(action) => super::fault::act(self, action),
        }
    }

    fn lane_is_due(&mut self, lane: LaneId) {
        let mut arrived = std::mem::take(&mut self.arrived);
        let it = &mut self.lanes[lane];
        let due = it.arrive(self.now, &self.links, &mut self.random, &mut arrived);
        let ends = it.to;
        if let Some(due) = due {
            self.at(due, What::Lane(lane));
        }
        for item in arrived.drain(..) {
            self.arrives(ends, item);
        }
        self.arrived = arrived;
    }

    fn arrives(&mut self, at: NodeId, item: Item) {
        match item {
            Item::Bytes { conn, to, bytes } => {
                let Some(it) = self.conns.get(&conn) else { return };
                match &it.ends[to as usize] {
                    Some(end) => {
                        end.deliver(&bytes);
                        if let Some(sender) = &it.ends[to.other() as usize] {
                            sender.arrived(bytes.len());
                        }
                    }
                    // Whoever is there now knows nothing of it.
                    None if self.powered[at.0] => {
                        let item = |to| Item::Close { conn, to, cut: true };
                        self.on_conn(self.now, conn, to, item);
                    }
                    None => {}
                }
            }
            Item::Close { conn, to, cut } => {
                let Some(it) = self.conns.get_mut(&conn) else { return };
                if let Some(end) = it.ends[to as usize].take() {
                    end.end(cut);
                }
                if it.ends.iter().all(Option::is_none) {
                    self.conns.remove(&conn);
                }
            }
            Item::Call(node, call) => super::store_node::serve(self, node, *call),
            Item::Reply(answer, reply) => {
                let _ = answer.send(*reply);
            }
            Item::Batch(sink, batch) => sink.deliver(*batch),
        }
    }

    /// An answer leaves the store.
    pub(super) fn reply(
        &mut self,
        node: NodeId,
        answer: oneshot::Sender<Result<Reply, store::StoreError>>,
        reply: Result<Reply, store::StoreError>,
    ) {
        if let Kind::Server(server) = self.shape.kind(node) {
            self.on_lane(2 * server + 1, self.now, Item::Reply(answer, Box::new(reply)));
        }
    }

    /// What watches have to tell leaves the store.
    pub(super) fn pump(&mut self) {
        let mut sent = std::mem::take(&mut self.sent);
        self.store.pump(&mut sent);
        for (node, sink, mut batch) in sent.drain(..) {
            self.spoil(&mut batch);
            if let Kind::Server(server) = self.shape.kind(node) {
                self.on_lane(2 * server + 1, self.now, Item::Batch(sink, Box::new(batch)));
            }
        }
        self.sent = sent;
    }

    fn dialled(
        &mut self,
        conn: ConnId,
        to: NodeId,
        from: NodeId,
        end: Arc<End>,
        answer: oneshot::Sender<bool>,
    ) {
        if answer.is_closed() {
            return;
        }
        let cut = self.links.at(from, to).cuts > 0;
        if cut || !self.powered[to.0] {
            return self.after(1000, What::Dial { conn, to, from, end, answer });
        }
        let back = match self.links.fate(to, from, &mut self.random) {
            Fate::Arrives(after) => after,
            Fate::Lost => 1000,
            Fate::Cut => return self.after(1000, What::Dial { conn, to, from, end, answer }),
        };
        let taken = self.take_call(conn, to, from, end);
        self.after(back, What::Answer { answer, taken });
    }

    fn take_call(&mut self, conn: ConnId, to: NodeId, from: NodeId, end: Arc<End>) -> bool {
        let Kind::Server(server) = self.shape.kind(to) else { return false };
        let role = match self.shape.kind(from) {
            Kind::Host(_) => PeerRole::Host,
            _ => PeerRole::Server,
        };
        let door = &self.doors[server];
        let (Some(came), Some(place)) = (&door.came, &door.place) else { return false };
        let peer = PeerIdentity::new("sim", role, &self.shape.name(from)).expect("a plain name");
        let there = Arc::new(End::default());
        let pipe = Pipe::new(place.clone(), conn, Side::Server, there.clone());
        let address = SocketAddr::new(self.shape.address(from).into(), 40_000);
        if came.try_send((pipe, peer, address)).is_err() {
            return false;
        }
        let lanes = [self.lanes.len(), self.lanes.len() + 1];
        self.lanes.push(Lane::new(from, to));
        self.lanes.push(Lane::new(to, from));
        let (ends, nodes) = ([Some(end), Some(there)], [from, to]);
        self.conns.insert(conn, Conn { ends, nodes, lanes });
        true
    }
}
