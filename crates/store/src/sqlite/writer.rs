//! The one thread that writes. It takes what waits in its queue, runs it as one SQLite transaction,
//! each piece with a revision of its own, and answers when that is durable.
//!
//! When a commit fails for lack of space nothing of it was done and each piece is tried alone, so
//! that a large one does not take small ones with it. When it fails otherwise nobody can know what
//! the disk holds: the writer stops for good and the store has to be opened anew.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::failure::{engine, internal};
use super::open::Opened;
use super::sweep::Sweep;
use super::tables::{Effect, WriteTables};
use crate::clock::Clock;
use crate::hub::Hub;
use crate::lease::Leases;
use crate::{Revision, StoreError};

/// Requests waiting for the writer: 128 × 1.5 MiB = 192 MiB at the very most.
const QUEUE: usize = 128;

/// Requests in one SQLite transaction: 64 × 6 KB = 384 KB of usual documents in one sync.
const BATCH: usize = 64;

/// A piece of work that is run inside a SQLite transaction, perhaps more than once (after a
/// rollback), and then told how that ended.
trait Work: Send {
    fn run(&mut self, tables: &mut WriteTables) -> Result<(), StoreError>;
    fn done(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<F, T> {
    change: F,
    answer: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Work for Task<F, T>
where
    F: FnMut(&mut WriteTables) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, tables: &mut WriteTables) -> Result<(), StoreError> {
        match (self.change)(tables) {
            Err(error) if error.is_engine() => Err(error),
            answer => {
                self.answer = Some(answer);
                Ok(())
            }
        }
    }

    fn done(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.answer) {
            (Ok(()), Some(answer)) => answer,
            (Ok(()), None) => Err(StoreError::closed()),
            (Err(error), _) => Err(error),
        };
        // Whoever no longer waits does not want to know.
        let _ = self.reply.send(answer);
    }
}

type Closed = oneshot::Sender<Result<(), StoreError>>;

enum Message {
    Work(Box<dyn Work>),
    Close(Closed),
}

/// The handle to the writing thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Message>>>,
}

impl Writer {
    pub(super) fn start(
        opened: Opened,
        hub: Arc<Hub>,
        leases: Arc<Leases>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let Opened { lock, conn, state, max_pages, .. } = opened;
        let tables = WriteTables::new(conn, state, max_pages);
        let mut thread =
            Thread { tables, hub, leases, clock, sweep: None, gave_up: None, broken: None };
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let (closing, ended) = thread.run(waiting);
                // The database is closed before the lock is let go, both before we say so.
                drop(thread);
                drop(lock);
                if let Some(reply) = closing {
                    let _ = reply.send(ended);
                }
            })
            .map_err(|error| internal("start the writer", error))?;
        Ok(Arc::new(Self { queue: Mutex::new(Some(queue)) }))
    }

    /// Refuses once the store has been closed.
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        self.sender().map(drop)
    }

    fn sender(&self) -> Result<mpsc::Sender<Message>, StoreError> {
        self.queue.lock().clone().ok_or_else(StoreError::closed)
    }

    /// Runs `change` in a transaction and returns its answer when that is durable. It must not have
    /// changed anything when it returns an error that is not the engine's.
    pub(super) async fn run<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut WriteTables) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Message::Work(Box::new(Task { change, answer: None, reply }));
        self.sender()?.send(task).await.map_err(|_| StoreError::closed())?;
        answer.await.map_err(|_| StoreError::Uncertain {
            what: "the store's writer ended".to_owned(),
            cause: None,
        })?
    }

    /// Ends the thread after what is queued, in good order.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let Some(queue) = self.queue.lock().take() else { return Ok(()) };
        let (reply, closed) = oneshot::channel();
        if queue.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        closed.await.unwrap_or(Ok(()))
    }

    /// As [`Writer::close`] for whoever cannot wait: the thread ends when its queue is empty.
    pub(super) fn finish(&self) {
        self.queue.lock().take();
    }
}

struct Thread {
    tables: WriteTables,
    hub: Arc<Hub>,
    leases: Arc<Leases>,
    clock: Arc<dyn Clock>,
    sweep: Option<Sweep>,
    /// The compaction whose sweep failed: it is left until the next one or the next opening.
    gave_up: Option<Revision>,
    /// Why nothing can be written any more.
    broken: Option<StoreError>,
}

impl Thread {
    /// Works until it is told to end, or nobody can tell it anything any more. Returns who wants to
    /// hear how that went.
    fn run(
        &mut self,
        mut waiting: mpsc::Receiver<Message>,
    ) -> (Option<Closed>, Result<(), StoreError>) {
        let mut closing = None;
        while closing.is_none() {
            let next = if self.sweep().is_some() {
                match waiting.try_recv() {
                    Ok(message) => Some(message),
                    Err(mpsc::error::TryRecvError::Empty) => {
                        self.sweep_step();
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                }
            } else {
                waiting.blocking_recv()
            };
            let Some(first) = next else { break };
            let mut batch = Vec::new();
            let mut message = Some(first);
            while let Some(Message::Work(work)) = message {
                batch.push(work);
                message = if batch.len() < BATCH { waiting.try_recv().ok() } else { None };
            }
            if let Some(Message::Close(reply)) = message {
                closing = Some(reply);
            }
            self.serve(batch);
            // Between two batches a sweep goes on too, or steady writes would starve it.
            self.sweep_step();
        }
        waiting.close();
        (closing, self.end())
    }

    fn serve(&mut self, mut batch: Vec<Box<dyn Work>>) {
        if batch.is_empty() {
            return;
        }
        match self.attempt(&mut batch) {
            Err(error) if batch.len() > 1 && self.broken.is_none() && error.is_engine() => {
                for work in batch {
                    let mut alone = vec![work];
                    let ended = self.attempt(&mut alone);
                    alone.into_iter().for_each(|work| work.done(ended.clone()));
                }
            }
            ended => batch.into_iter().for_each(|work| work.done(ended.clone())),
        }
    }

    /// Runs all of it in one transaction and hands out what changed. Nothing of it has happened
    /// when it fails, unless the error says `Uncertain`.
    fn attempt(&mut self, batch: &mut [Box<dyn Work>]) -> Result<(), StoreError> {
        self.transact(|tables| batch.iter_mut().try_for_each(|work| work.run(tables)))
    }

    fn transact(
        &mut self,
        change: impl FnOnce(&mut WriteTables) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let before = self.tables.state;
        let tables = &mut self.tables;
        let changed =
            begin(tables).and_then(|()| change(tables)).and_then(|()| tables.save_state());
        let ended = changed.and_then(|()| self.commit());
        let effects = self.tables.take_effects();
        match ended {
            Ok(()) => {
                effects.into_iter().for_each(|effect| self.apply(effect));
                Ok(())
            }
            Err(error) => {
                self.tables.state = before;
                self.roll_back();
                Err(error)
            }
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let Err(error) = self.tables.conn.execute_batch("COMMIT") else { return Ok(()) };
        let error = engine("commit", error);
        if matches!(error, StoreError::DiskFull { .. }) {
            return Err(error);
        }
        tracing::error!(%error, "commit failed: the store stops taking writes");
        let what = "a commit failed; open the store anew".to_owned();
        let cause: Option<crate::Cause> = Some(Arc::new(error));
        self.broken = Some(StoreError::Unavailable { what: what.clone(), cause: cause.clone() });
        Err(StoreError::Uncertain { what, cause })
    }

    fn roll_back(&mut self) {
        // SQLite may have rolled back by itself (full disk).
        if self.tables.conn.is_autocommit() {
            return;
        }
        if let Err(error) = self.tables.conn.execute_batch("ROLLBACK") {
            let error = engine("roll back", error);
            tracing::error!(%error, "rollback failed: the store stops taking writes");
            self.broken = Some(error);
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Events(revision, events) => self.hub.publish(revision, &events),
            Effect::LeaseGranted(id, ttl) => {
                self.leases.insert(id, ttl, ttl, true, self.clock.now());
            }
            Effect::LeaseRenewed(id) => self.leases.renewed(id, self.clock.now()),
            Effect::LeaseKept(id, left) => self.leases.kept(id, left),
            Effect::LeaseGone(id) => self.leases.remove(id),
            Effect::Identity(identity) => self.hub.renew(identity),
        }
    }

    /// The sweep that is due, if the writer can still do one.
    fn sweep(&mut self) -> Option<Sweep> {
        let state = &self.tables.state;
        if self.broken.is_some() || self.gave_up == Some(state.compacted) {
            return None;
        }
        self.sweep = Sweep::wanted(self.sweep, state.compacted, state.swept);
        self.sweep
    }

    fn sweep_step(&mut self) {
        let Some(sweep) = self.sweep() else { return };
        let mut next = None;
        let swept = self.transact(|tables| {
            next = sweep.step(tables)?;
            Ok(())
        });
        self.sweep = next;
        if let Err(error) = swept {
            // Whatever is left takes space but is not wrong.
            tracing::warn!(%error, "remove what was compacted; left until the next compaction");
            self.gave_up = Some(self.tables.state.compacted);
            self.sweep = None;
        }
    }

    /// Writes what leases have left and copies the log back.
    fn end(&mut self) -> Result<(), StoreError> {
        let left = self.leases.all(self.clock.now());
        if !left.is_empty() {
            self.transact(|tables| {
                left.iter().try_for_each(|(id, left)| tables.keep_lease(*id, *left).map(drop))
            })?;
        }
        self.tables
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| engine("copy the log back", error))
    }
}

fn begin(tables: &WriteTables) -> Result<(), StoreError> {
    tables.conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| engine("begin to write", error))
}
