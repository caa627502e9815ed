//! What is known about a client's connection: shared by its stream, its requests and the sweeper.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;

use super::tunnel::Tunnel;
use super::worker::Worker;
use crate::decide::forwarded::Peer;

/// What the sweeper wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing.
    None,
    /// Finish what is under way, take no more.
    Finish,
    /// A request's head took too long: say so and close.
    HeadTooLate,
    /// Close at once.
    Cut,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientState {
    pub(crate) worker: Rc<Worker>,
    pub(crate) address: SocketAddr,
    pub(crate) https: bool,
    pub(crate) peer: RefCell<Peer>,
    /// Speaks HTTP/2: several requests at once, other rules for being idle.
    pub(crate) multiplexed: Cell<bool>,
    pub(crate) in_flight: Cell<u32>,
    /// When the first bytes of the next request's head came; 0 = none came.
    pub(crate) head_since_ms: Cell<u64>,
    /// Since when nothing is under way.
    pub(crate) idle_since_ms: Cell<u64>,
    /// Since when the client takes no bytes; 0 = it does.
    pub(crate) stuck_since_ms: Cell<u64>,
    pub(crate) wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    /// Set by a request that switched protocols; taken by the connection's driver.
    pub(crate) tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl ClientState {
    pub(crate) fn new(worker: &Rc<Worker>, address: SocketAddr, https: bool) -> Rc<Self> {
        let now = worker.clock.coarse_ms();
        Rc::new(Self {
            worker: Rc::clone(worker),
            address,
            https,
            peer: RefCell::new(Peer::new(address, https)),
            multiplexed: Cell::new(false),
            in_flight: Cell::new(0),
            head_since_ms: Cell::new(0),
            idle_since_ms: Cell::new(now),
            stuck_since_ms: Cell::new(0),
            wish: Cell::new(Wish::None),
            waker: RefCell::new(None),
            tunnel: RefCell::new(None),
        })
    }

    pub(crate) fn note_read(&self) {
        if self.in_flight.get() == 0 && self.head_since_ms.get() == 0 {
            self.head_since_ms.set(self.worker.clock.coarse_ms());
        }
    }

    pub(crate) fn note_write(&self, blocked: bool) {
        if !blocked {
            self.stuck_since_ms.set(0);
        } else if self.stuck_since_ms.get() == 0 {
            self.stuck_since_ms.set(self.worker.clock.coarse_ms());
        }
    }

    /// A request's head is complete.
    pub(crate) fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.head_since_ms.set(0);
    }

    /// A request's response is complete or given up.
    pub(crate) fn end(&self) {
        let left = self.in_flight.get() - 1;
        self.in_flight.set(left);
        if left == 0 {
            self.idle_since_ms.set(self.worker.clock.coarse_ms());
        }
    }

    /// The driver tells whom to wake for a wish.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut held = self.waker.borrow_mut();
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// Wishes something and wakes the driver.
    pub(crate) fn wish(&self, wish: Wish) {
        if self.wish.replace(wish) != wish
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}
