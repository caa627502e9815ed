//! One thread's share of the connections: accepts, waits, goes on with whatever is ready, and when
//! told to stop, finishes what has begun and takes nothing new.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::connection::{Connection, Wait};
use crate::settings::Settings;

/// The most connections of one worker: 4,096 × 17 KiB are 68 MiB at the very most.
const MAX_CONNECTIONS: usize = 4096;

/// How long a connection may go without a byte moving.
const IDLE_LIMIT: Duration = Duration::from_secs(75);

/// How often silent connections are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// How long idle connections stay open after the order to stop: requests that are on their way
/// are answered, and every answer says that the connection ends.
const LAST_CALL: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

struct Slot {
    connection: Connection,
    active: Instant,
    due: Option<Instant>,
}

/// One worker; runs on a thread of its own.
pub(crate) struct Worker {
    poll: Poll,
    waker: Arc<Waker>,
    listener: Option<TcpListener>,
    settings: Arc<Settings>,
    stop: Arc<AtomicBool>,
    stopping: bool,
    /// From this moment on idle connections are closed.
    last_call: Option<Instant>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    open: usize,
    /// Moments at which held-back answers are due.
    timers: BTreeSet<(Instant, usize)>,
    /// Connections may wait in the listener that no event will tell of again.
    accept_more: bool,
    swept: Instant,
}

impl Worker {
    pub(crate) fn new(
        listener: std::net::TcpListener,
        settings: Arc<Settings>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            waker,
            listener: Some(listener),
            settings,
            stop,
            stopping: false,
            last_call: None,
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            timers: BTreeSet::new(),
            accept_more: false,
            swept: Instant::now(),
        })
    }

    /// Wakes the worker, so that it sees that it shall stop.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Serves until told to stop and the last answer is out.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.stopping || self.open > 0 {
            match self.poll.poll(&mut events, self.patience(Instant::now())) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_more = true,
                    WAKER => {}
                    Token(index) => {
                        if let Some(Some(slot)) = self.slots.get_mut(index)
                            && event.is_readable()
                        {
                            slot.connection.set_readable();
                        }
                        self.advance(index, now);
                    }
                }
            }
            let stop = !self.stopping && self.stop.load(Ordering::Acquire);
            self.accept_more |= stop;
            self.accept(now)?;
            if stop {
                self.begin_stopping(now);
            }
            self.fire_timers(now);
            self.close_idle(now);
            self.sweep(now);
        }
        Ok(())
    }

    fn patience(&self, now: Instant) -> Option<Duration> {
        let timer = self.timers.first().map(|(due, _)| due.saturating_duration_since(now));
        let sweep = (self.open > 0).then_some(SWEEP_EVERY);
        let last = self.last_call.map(|at| at.saturating_duration_since(now));
        [timer, last, sweep].into_iter().flatten().min()
    }

    fn accept(&mut self, now: Instant) -> io::Result<()> {
        while self.accept_more && self.open < MAX_CONNECTIONS {
            let Some(listener) = &self.listener else { break };
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream, now)?,
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.accept_more = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // One client that is gone already, or no descriptors left: the next event, or
                // the next connection that closes, tries again.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn admit(&mut self, mut stream: TcpStream, now: Instant) -> io::Result<()> {
        drop(stream.set_nodelay(true));
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), both)?;
        let connection = Connection::new(stream);
        self.slots[index] = Some(Slot { connection, active: now, due: None });
        self.open += 1;
        self.advance(index, now);
        Ok(())
    }

    fn advance(&mut self, index: usize, now: Instant) {
        let Some(Some(slot)) = self.slots.get_mut(index) else { return };
        slot.active = now;
        if let Some(due) = slot.due.take() {
            self.timers.remove(&(due, index));
        }
        match slot.connection.advance(&self.settings, self.stopping, now) {
            Wait::Closed => self.close(index),
            Wait::Socket => {}
            Wait::Until(due) => {
                slot.due = Some(due);
                self.timers.insert((due, index));
            }
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(mut slot) = self.slots[index].take() {
            drop(self.poll.registry().deregister(slot.connection.stream()));
            if let Some(due) = slot.due {
                self.timers.remove(&(due, index));
            }
            self.free.push(index);
            self.open -= 1;
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some((due, index)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.remove(&(due, index));
            self.advance(index, now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        for index in 0..self.slots.len() {
            let silent = self.slots[index].as_ref().is_some_and(|slot| {
                slot.due.is_none() && now.saturating_duration_since(slot.active) > IDLE_LIMIT
            });
            if silent {
                self.close(index);
            }
        }
    }

    /// Stops accepting. Whoever had connected by now is still served.
    fn begin_stopping(&mut self, now: Instant) {
        self.stopping = true;
        self.last_call = Some(now + LAST_CALL);
        if let Some(mut listener) = self.listener.take() {
            drop(self.poll.registry().deregister(&mut listener));
        }
    }

    /// Closes what is idle once the last call is over.
    fn close_idle(&mut self, now: Instant) {
        if self.last_call.is_none_or(|at| now < at) {
            return;
        }
        self.last_call = None;
        for index in 0..self.slots.len() {
            self.advance(index, now);
            if self.slots[index].as_ref().is_some_and(|slot| slot.connection.is_idle()) {
                self.close(index);
            }
        }
    }
}
