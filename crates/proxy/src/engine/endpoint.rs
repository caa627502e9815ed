//! An endpoint as one worker sees it: its load, health, counters and idle connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use api::id::{InstanceId, ReleaseNumber};
use tokio::net::TcpStream;

use super::upstream::{H1Connection, H2Connection};
use crate::decide::eject::{Health, Outcome};
use crate::metrics::{Counters, InstanceMetrics};

/// The most idle connections kept per endpoint and worker; each costs a descriptor and about
/// 10 KiB here and whatever the app spends on one.
const MAX_IDLE: usize = 256;

/// An endpoint. It outlives the tables that name it while requests are under way.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) instance: InstanceId,
    pub(crate) release: ReleaseNumber,
    pub(crate) address: SocketAddr,
    pub(crate) weight: Cell<u32>,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) health: Cell<Health>,
    pub(crate) counters: RefCell<Counters>,
    /// In no table any more: connections are closed as soon as they are idle.
    gone: Cell<bool>,
    #[expect(clippy::vec_box, reason = "connections move between pool and responses as boxes")]
    idle: RefCell<Vec<Box<H1Connection>>>,
    pub(crate) multiplexed: RefCell<Vec<Rc<H2Connection>>>,
    /// Every open connection's socket, so that it can be cut.
    sockets: RefCell<HashMap<u64, Weak<RefCell<TcpStream>>>>,
    next_socket: Cell<u64>,
}

impl Endpoint {
    pub(crate) fn new(endpoint: &api::ingress::Endpoint) -> Rc<Self> {
        Rc::new(Self {
            instance: endpoint.instance.clone(),
            release: endpoint.release,
            address: endpoint.address,
            weight: Cell::new(endpoint.weight),
            in_flight: Cell::new(0),
            health: Cell::default(),
            counters: RefCell::default(),
            gone: Cell::new(false),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            sockets: RefCell::default(),
            next_socket: Cell::new(0),
        })
    }

    pub(crate) fn note(&self, outcome: Outcome, now_ms: u64) {
        let before = self.health.get();
        if outcome != Outcome::Answered || before != Health::default() {
            self.health.set(before.after(outcome, now_ms));
        }
    }

    /// The connection that was idle for the shortest time.
    pub(crate) fn take_idle(&self) -> Option<Box<H1Connection>> {
        self.idle.borrow_mut().pop()
    }

    /// Keeps an idle connection for the next request, or closes it.
    pub(crate) fn give_back(&self, connection: Box<H1Connection>) {
        let mut idle = self.idle.borrow_mut();
        if !self.gone.get() && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Closes idle connections for which `keep` says no.
    pub(crate) fn retain_idle(&self, mut keep: impl FnMut(&mut H1Connection) -> bool) {
        let mut idle = std::mem::take(&mut *self.idle.borrow_mut());
        idle.retain_mut(|connection| keep(connection));
        self.idle.borrow_mut().append(&mut idle);
        self.multiplexed.borrow_mut().retain(|connection| !connection.is_closed());
    }

    /// Forgets idle connections: one of them turned out dead, or the endpoint left.
    pub(crate) fn drop_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        drop(idle);
    }

    /// First step of a new table: it has left unless [`Self::keep`] follows.
    pub(crate) fn set_gone_later(&self) {
        self.gone.set(true);
    }

    /// Second step: the new table names it.
    pub(crate) fn keep(&self) {
        self.gone.set(false);
    }

    /// Last step: if it left, its idle connections are closed; busy ones close when they finish.
    pub(crate) fn settle(&self) {
        if self.gone.get() {
            self.drop_idle();
            self.multiplexed.borrow_mut().clear();
        }
    }

    /// Remembers a new connection's socket.
    pub(crate) fn register(&self, socket: &Rc<RefCell<TcpStream>>) {
        let mut sockets = self.sockets.borrow_mut();
        let number = self.next_socket.get();
        self.next_socket.set(number + 1);
        // Forget closed ones now and then; a power of two keeps the cost per connection constant.
        if sockets.len() >= 64 && sockets.len().is_power_of_two() {
            sockets.retain(|_, socket| socket.strong_count() > 0);
        }
        sockets.insert(number, Rc::downgrade(socket));
    }

    /// Cuts every connection; returns how many there were.
    pub(crate) fn cut(&self, now_ms: u64) -> u64 {
        self.health.set(self.health.get().eject(now_ms));
        self.drop_idle();
        self.multiplexed.borrow_mut().clear();
        let mut cut = 0;
        for socket in self.sockets.borrow_mut().drain().filter_map(|(_, socket)| socket.upgrade()) {
            cut += 1;
            // Fails only when the connection has ended already.
            let _ = socket2::SockRef::from(&*socket.borrow()).shutdown(std::net::Shutdown::Both);
        }
        cut
    }

    pub(crate) fn snapshot(&self, now_ms: u64) -> InstanceMetrics {
        let mut counters = self.counters.borrow().clone();
        counters.in_flight = u64::from(self.in_flight.get());
        InstanceMetrics {
            instance: self.instance.clone(),
            release: self.release,
            address: self.address,
            ejected: self.health.get().ejected(now_ms),
            idle_connections: self.idle.borrow().len() as u64,
            counters,
        }
    }
}
