//! Processes that start and end, clients that ask them, and what they tell.

use std::sync::Arc;

use api::status::ExitCause;
use api::time::Timestamp;
use api::unit::Millis;
use clock::{Clock, Offset};
use tokio::sync::mpsc;

use super::place::{NodeId, Side, Told};
use super::planted::Planted;
use super::shape::Kind;
use super::wire::{Inbox, Socket};
use super::world::{BEGIN, Door, Item, What, World};
use super::{host, server, workload};

/// Connections that wait at a server's door.
const BACKLOG: usize = 256;

/// How long machines had been up before the world began, so that there is a time before.
const UP: u64 = 3_600_000;

impl World {
    /// Starts the process of a machine that has power.
    pub(super) fn boot(&mut self, node: NodeId) {
        if self.nodes[node.0].runs() || !self.powered[node.0] {
            return;
        }
        self.trace.note(self.now, &format!("{} starts", self.shape.name(node)));
        let inbox = Arc::new(Inbox::default());
        self.sockets[node.0] = inbox.clone();
        let (shape, ticking, now) = (self.shape, &mut self.clocks[node.0], self.now);
        let up = Millis(UP + now - ticking.since);
        let wall = Timestamp(BEGIN.0 + i64::try_from(now).unwrap_or(0));
        let offset = Offset(ticking.offset);
        let clock = move || {
            let clock = Clock::virtual_from(wall, up);
            clock.set_offset(offset);
            clock
        };
        let (mut shown, planted) = (None, self.planted);
        match shape.kind(node) {
            Kind::Host(at) => {
                let machine = self.machines[at].clone();
                self.nodes[node.0].start(now, &self.hub, |place| {
                    let clock = clock();
                    shown = Some(clock.clone());
                    tokio::spawn(host::run((shape, planted), at, machine, clock, inbox, place));
                });
            }
            Kind::Server(at) => {
                let (came, door) = mpsc::channel(BACKLOG);
                let (keyring, seat) = (self.keyring.clone(), server::Seat::default());
                let mut at_place = None;
                let sitting = seat.clone();
                self.nodes[node.0].start(now, &self.hub, |place| {
                    let clock = clock();
                    (shown, at_place) = (Some(clock.clone()), Some(place.clone()));
                    let address = shape.probed_at(node);
                    let socket = Socket { place: place.clone(), address, inbox };
                    let run =
                        server::run(shape, at, keyring, clock, (place, socket), sitting, door);
                    tokio::spawn(run);
                });
                self.doors[at] = Door { came: Some(came), place: at_place, seat };
            }
            Kind::Store => {}
        }
        self.clocks[node.0].now = shown;
    }

    /// Ends a process wherever it is; with the power, so that nobody is told.
    pub(super) fn kill(&mut self, node: NodeId, power: bool) {
        let how = if power { "loses its power" } else { "is killed" };
        self.trace.note(self.now, &format!("{} {how}", self.shape.name(node)));
        self.nodes[node.0].kill();
        // What its tasks said when they were dropped was never sent.
        let mut unsaid = Vec::new();
        self.hub.take(&mut unsaid);
        drop(unsaid);
        self.clocks[node.0].now = None;
        self.store.forget(node);
        if let Kind::Server(at) = self.shape.kind(node) {
            self.doors[at] = Door::default();
            self.client.lost(at);
        }
        if power {
            self.powered[node.0] = false;
            if let Kind::Host(at) = self.shape.kind(node) {
                self.machines[at].lose_power();
            }
        }
        let mut gone = Vec::new();
        for (conn, it) in &mut self.conns {
            for side in [Side::Client, Side::Server] {
                if it.nodes[side as usize] == node && it.ends[side as usize].take().is_some() {
                    gone.push((*conn, side));
                }
            }
        }
        if !power {
            for (conn, side) in gone {
                self.on_conn(self.now, conn, side, |to| Item::Close { conn, to, cut: true });
            }
        }
    }

    /// Gives a machine its power back and starts its process.
    pub(super) fn restore(&mut self, node: NodeId) {
        if !self.powered[node.0] {
            self.powered[node.0] = true;
            self.clocks[node.0].since = self.now;
        }
        let wait = self.random.between(0, 500);
        self.after(wait, What::Boot(node));
    }

    /// A client asks one of the servers for something.
    pub(super) fn ask(&mut self) {
        let wait = self.random.between(5_000, 35_000);
        self.after(wait, What::Client);
        if self.now > super::run::CALM_FROM {
            return;
        }
        let there: Vec<usize> = (0..self.shape.servers)
            .filter(|at| self.doors[*at].seat.lock().is_some())
            .filter(|at| self.nodes[self.shape.server(*at).0].frozen_until.is_none())
            .collect();
        if there.is_empty() {
            return;
        }
        let at = *self.random.one(&there);
        let Some(request) = self.client.next() else { return };
        let door = &self.doors[at];
        let (Some(core), Some(place)) = (door.seat.lock().clone(), door.place.clone()) else {
            return;
        };
        let name = self.shape.server_name(at);
        self.trace.note(self.now, &format!("a client asks {name} for {request:?}"));
        let number = self.client.asks(at, request.clone());
        let asking = workload::ask(core, request, number, place);
        self.nodes[self.shape.server(at).0].spawn(asking);
    }

    /// A node tells something.
    pub(super) fn told(&mut self, from: NodeId, told: Told) {
        match told {
            Told::Started(container) => {
                let name = self.shape.name(from);
                self.trace.note(self.now, &format!("{name} runs {container}"));
            }
            Told::Stopped(container, healthy) => {
                let name = self.shape.name(from);
                self.trace.note(self.now, &format!("{name} stops {container} ({healthy})"));
                let host = self.shape.host_name(from.0);
                self.check.stopped(self.now, &host, &container, healthy);
            }
            Told::Answered(number, answer) => {
                let asked = self.client.answered(number, &answer);
                self.trace.note(self.now, &format!("answered {asked:?}: {answer:?}"));
            }
        }
    }

    /// A planted bug: a host hears answers to its probes of one other alone.
    pub(super) fn is_deaf(&self, to: NodeId, from: std::net::SocketAddr, bytes: &[u8]) -> bool {
        const ANSWER: u8 = 2;
        let Kind::Host(at) = self.shape.kind(to) else { return false };
        let only = self.shape.probed_at(self.shape.host((at + 1) % self.shape.hosts));
        self.planted == Some(Planted::DeafObservers)
            && bytes.get(4) == Some(&ANSWER)
            && from != only
    }

    /// A planted bug: a host whose servers are all gone ends what it runs.
    pub(super) fn stop_the_lonely(&mut self) {
        for at in 0..self.shape.hosts {
            let node = self.shape.host(at);
            let linked = self.conns.values().any(|conn| conn.nodes[0] == node);
            let since = self.lonely[at].get_or_insert(self.now);
            if linked || !self.nodes[node.0].runs() {
                self.lonely[at] = None;
            } else if self.now - *since == 10_000 {
                let mut all = Vec::new();
                self.machines[at].each(|name, container| {
                    let healthy = container.dead.is_none() && container.healthy_at <= self.now;
                    all.push((name.to_owned(), healthy));
                });
                for (container, healthy) in all {
                    self.told(node, Told::Stopped(container.clone(), healthy));
                    self.machines[at].end(&container, &ExitCause::Signaled(15));
                }
            }
        }
    }
}
