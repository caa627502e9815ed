//! A worker: one thread, one runtime, its own pools and counters, steered by commands.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::accept;
use super::access_log::LogBuffer;
use super::client::ClientState;
use super::clock::Clock;
use super::local::{Kept, Local};
use super::sweep;
use crate::control::ListenerRole;
use crate::decide::table::Compiled;
use crate::metrics::Snapshot;

/// A listening socket's identity: its role and the kernel's cookie for it.
pub(crate) type ListenerKey = (ListenerRole, u64);

/// What a worker is told. Each is acknowledged when it is done.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on these and no others.
    Listen(Vec<(ListenerKey, StdListener)>, oneshot::Sender<()>),
    /// Serve by this table.
    Table(Arc<Compiled>, oneshot::Sender<()>),
    /// Cut connections to these addresses.
    Abort(Arc<[IpAddr]>, oneshot::Sender<u64>),
    /// Read the counters.
    Metrics(oneshot::Sender<Snapshot>),
    /// Accept no more, finish, end.
    Drain(Duration),
}

/// Commands on their way to a worker: one control connection asks one thing at a time.
pub(crate) const COMMANDS: usize = 16;

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) tls: TlsAcceptor,
    pub(crate) log: LogBuffer,
    pub(crate) max_connections: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) seed: u64,
}

/// A worker's state, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) clock: Clock,
    pub(crate) local: RefCell<Rc<Local>>,
    pub(crate) kept: RefCell<Kept>,
    pub(crate) log: LogBuffer,
    pub(crate) tls: Tls,
    pub(crate) clients: RefCell<HashMap<u64, Rc<ClientState>>>,
    next_client: Cell<u64>,
    max_connections: usize,
    pub(crate) head_timeout: Duration,
    closed: Notify,
    random: Cell<u64>,
    pub(crate) draining_since_ms: Cell<Option<u64>>,
    pub(crate) accepted: Cell<u64>,
    pub(crate) bad: Cell<u64>,
    pub(crate) unrouted: Cell<u64>,
}

/// The acceptor, which has nothing to say in debug output.
pub(crate) struct Tls(TlsAcceptor);

impl std::ops::Deref for Tls {
    type Target = TlsAcceptor;
    fn deref(&self) -> &TlsAcceptor {
        &self.0
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// A connection's entry, removed when it ends.
pub(crate) struct Open {
    worker: Rc<Worker>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Dropped after the borrow has ended.
        let removed = self.worker.clients.borrow_mut().remove(&self.number);
        drop(removed);
        self.worker.closed.notify_waiters();
    }
}

impl Worker {
    fn new(parts: Parts) -> Rc<Self> {
        Rc::new(Self {
            clock: Clock::new(),
            local: RefCell::default(),
            kept: RefCell::default(),
            log: parts.log,
            tls: Tls(parts.tls),
            clients: RefCell::default(),
            next_client: Cell::new(0),
            max_connections: parts.max_connections,
            head_timeout: parts.head_timeout,
            closed: Notify::new(),
            random: Cell::new(parts.seed | 1),
            draining_since_ms: Cell::new(None),
            accepted: Cell::new(0),
            bad: Cell::new(0),
            unrouted: Cell::new(0),
        })
    }

    /// A random number (xorshift64*: quality enough to spread load).
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining_since_ms.get().is_some()
    }

    pub(crate) fn count_bad(&self) {
        self.bad.set(self.bad.get() + 1);
    }

    /// Enters a connection.
    pub(crate) fn opened(self: &Rc<Self>, client: &Rc<ClientState>) -> Open {
        let number = self.next_client.get();
        self.next_client.set(number + 1);
        self.accepted.set(self.accepted.get() + 1);
        self.clients.borrow_mut().insert(number, Rc::clone(client));
        Open { worker: Rc::clone(self), number }
    }

    /// Waits until another connection may be taken.
    pub(crate) async fn room(&self) {
        while self.clients.borrow().len() >= self.max_connections {
            self.closed.notified().await;
        }
    }

    fn install(&self, compiled: Arc<Compiled>) {
        let view = self.kept.borrow_mut().view(compiled);
        let before = self.local.replace(Rc::new(view));
        drop(before);
        self.kept.borrow_mut().forget_unused();
    }

    fn abort(&self, addresses: &[IpAddr]) -> u64 {
        let now = self.clock.now_ms();
        let kept = self.kept.borrow();
        let hit = kept.endpoints.values().filter(|e| addresses.contains(&e.address.ip()));
        hit.map(|endpoint| endpoint.cut(now)).sum()
    }

    fn snapshot(&self) -> Snapshot {
        let now = self.clock.now_ms();
        let kept = self.kept.borrow();
        Snapshot {
            routes: kept.stats.values().map(|stats| stats.snapshot()).collect(),
            instances: kept.endpoints.values().map(|e| e.snapshot(now)).collect(),
            connections: self.clients.borrow().len() as u64,
            accepted: self.accepted.get(),
            bad_connections: self.bad.get(),
            unrouted: self.unrouted.get(),
            log_lines_dropped: self.log.dropped.get(),
        }
    }
}

/// Runs a worker in the present thread until it has drained or nobody commands it any more.
pub(crate) async fn run(parts: Parts, mut commands: mpsc::Receiver<Command>) {
    let worker = Worker::new(parts);
    let sweeper = tokio::task::spawn_local(sweep::run(Rc::clone(&worker)));
    let mut accepting: HashMap<ListenerKey, JoinHandle<()>> = HashMap::new();
    let mut deadline = None;
    loop {
        let closed = worker.closed.notified();
        if worker.is_draining() && worker.clients.borrow().is_empty() {
            break;
        }
        tokio::select! {
            // Receiving is cancel-safe; the other arms only wait.
            command = commands.recv() => match command {
                None => break,
                Some(Command::Listen(sockets, done)) => {
                    listen(&worker, &mut accepting, sockets);
                    let _ = done.send(());
                }
                Some(Command::Table(compiled, done)) => {
                    worker.install(compiled);
                    let _ = done.send(());
                }
                Some(Command::Abort(addresses, done)) => {
                    let _ = done.send(worker.abort(&addresses));
                }
                Some(Command::Metrics(done)) => {
                    let _ = done.send(worker.snapshot());
                }
                Some(Command::Drain(patience)) => {
                    for (_, task) in accepting.drain() {
                        task.abort();
                    }
                    deadline = Some(Instant::now() + patience);
                    worker.clock.tick();
                    worker.draining_since_ms.set(Some(worker.clock.coarse_ms()));
                }
            },
            () = closed => {}
            () = until(deadline) => break,
        }
    }
    sweeper.abort();
    worker.log.flush();
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Accepts on exactly these sockets: known ones go on, new ones start, others stop.
fn listen(
    worker: &Rc<Worker>,
    accepting: &mut HashMap<ListenerKey, JoinHandle<()>>,
    sockets: Vec<(ListenerKey, StdListener)>,
) {
    if worker.is_draining() {
        return;
    }
    accepting.retain(|key, task| {
        let wanted = sockets.iter().any(|(wanted, _)| wanted == key);
        if !wanted {
            task.abort();
        }
        wanted
    });
    for (key, socket) in sockets {
        if accepting.contains_key(&key) {
            continue;
        }
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => {
                let task = accept::run(Rc::clone(worker), listener, key.0);
                accepting.insert(key, tokio::task::spawn_local(task));
            }
            Err(error) => tracing::error!(%error, role = ?key.0, "registering a listening socket"),
        }
    }
}
