//! The store itself: one in memory, asked at once when a request arrives, and its watches.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use api::assignment::Assignment;
use futures_util::{FutureExt, StreamExt};
use server::core::Kind;
use store::document::Document;
use store::{
    KeyValue, MemoryStore, Op, Revision, Store, StoreError, TxnAnswer, WatchBatch, WatchRequest,
    WatchStream,
};

use super::far_store::{Ask, Call, Reply, Sink};
use super::place::NodeId;
use super::planted::Planted;
use super::world::World;

/// A batch on its way to a watch of a server.
pub(super) type Sent = (NodeId, Arc<Sink>, Result<WatchBatch, StoreError>);

struct Watcher {
    node: NodeId,
    sink: Weak<Sink>,
    stream: WatchStream,
}

/// The store.
pub(super) struct StoreNode {
    store: MemoryStore,
    watchers: Vec<Watcher>,
    /// What the checks see.
    changes: WatchStream,
}

impl StoreNode {
    pub(super) fn new() -> Self {
        let store = MemoryStore::new();
        let all = store.watch(WatchRequest::prefix("", Revision(1)));
        let changes = now(all).expect("a store in memory is there");
        Self { store, watchers: Vec::new(), changes }
    }

    /// Does what a server asks, now.
    pub(super) fn ask(&mut self, node: NodeId, ask: Ask) -> Result<Reply, StoreError> {
        match ask {
            Ask::Get(key, at) => now(self.store.get(&key, at)).map(Reply::Got),
            Ask::Range(range, limit, at) => {
                now(self.store.range(&range, limit, at)).map(Reply::Page)
            }
            Ask::Txn(txn) => now(self.store.txn(txn)).map(Reply::Txn),
            Ask::Watch(request, sink) => {
                let stream = now(self.store.watch(request))?;
                self.watchers.push(Watcher { node, sink: Arc::downgrade(&sink), stream });
                Ok(Reply::Done)
            }
            Ask::Compact(revision) => now(self.store.compact(revision)).map(|()| Reply::Done),
            Ask::Status => now(self.store.status()).map(Reply::Status),
        }
    }

    /// What watches have to tell by now.
    pub(super) fn pump(&mut self, into: &mut Vec<Sent>) {
        self.watchers.retain_mut(|watcher| {
            let Some(sink) = watcher.sink.upgrade() else { return false };
            while let Some(batch) = ready(&mut watcher.stream) {
                let ended = batch.is_err();
                into.push((watcher.node, sink.clone(), batch));
                if ended {
                    return false;
                }
            }
            true
        });
    }

    /// What was changed since the last look.
    pub(super) fn changes(&mut self) -> Vec<WatchBatch> {
        let mut all = Vec::new();
        while let Some(Ok(batch)) = ready(&mut self.changes) {
            all.push(batch);
        }
        all
    }

    /// Forgets a server's watches.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.watchers.retain(|watcher| watcher.node != node);
    }
}

/// A store in memory waits for nothing.
fn now<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.now_or_never().unwrap_or_else(|| {
        Err(StoreError::Unavailable { what: "it did not answer at once".into(), cause: None })
    })
}

fn ready(stream: &mut WatchStream) -> Option<Result<WatchBatch, StoreError>> {
    let mut context = Context::from_waker(Waker::noop());
    match stream.poll_next_unpin(&mut context) {
        Poll::Ready(batch) => batch,
        Poll::Pending => None,
    }
}

/// A request of a server has arrived.
pub(super) fn serve(world: &mut World, node: NodeId, call: Call) {
    let Call { ask, answer } = call;
    let unavailable = |what: &str| StoreError::Unavailable { what: what.into(), cause: None };
    if world.faults.store_fails(world.shape.kind(node)) {
        return world.reply(node, answer, Err(unavailable("a fault")));
    }
    let written = match &ask {
        Ask::Txn(txn) => Some(txn.clone()),
        _ => None,
    };
    let ask = planted_in(world, ask);
    let Some(ask) = ask else {
        let revision = now(world.store.store.status()).map_or(Revision::ZERO, |s| s.revision);
        let lie = TxnAnswer { succeeded: true, revision, results: Vec::new() };
        return world.reply(node, answer, Ok(Reply::Txn(lie)));
    };
    let mut reply = world.store.ask(node, ask);
    let succeeded = matches!(&reply, Ok(Reply::Txn(answer)) if answer.succeeded);
    if let (Some(txn), true) = (&written, succeeded) {
        let changes = world.store.changes();
        super::check::committed(world, node, txn, &changes);
        world.pump();
    }
    if world.planted == Some(Planted::LooseSurge)
        && let Ok(Reply::Page(page)) = &mut reply
    {
        page.kvs.iter_mut().for_each(loosen);
    }
    if succeeded && world.faults.loses_answer(world.shape.kind(node), &mut world.random) {
        let lost = StoreError::Uncertain { what: "a fault".into(), cause: None };
        return world.reply(node, answer, Err(lost));
    }
    world.reply(node, answer, reply);
    if succeeded {
        super::fault::after_write(world, node, written.as_ref());
    }
}

impl World {
    /// Puts planted bugs into what a watch tells.
    pub(super) fn spoil(&mut self, batch: &mut Result<WatchBatch, StoreError>) {
        let Ok(batch) = batch else { return };
        match self.planted {
            Some(Planted::LostEvent) => {
                batch.events.retain(|_| !self.random.happens(20));
            }
            Some(Planted::LooseSurge) => {
                batch.events.iter_mut().for_each(|event| loosen(&mut event.kv));
            }
            _ => {}
        }
    }
}

/// A planted bug: a larger surge is read than was written.
pub(super) fn loosen(kv: &mut KeyValue) {
    if kv.key.starts_with(b"release/") {
        let text = String::from_utf8_lossy(&kv.value).replace("\"surge\":1", "\"surge\":4");
        kv.value = text.into_bytes().into();
    }
}

/// The request as a planted bug has it; none when it is forgotten.
fn planted_in(world: &mut World, ask: Ask) -> Option<Ask> {
    let Ask::Txn(mut txn) = ask else { return Some(ask) };
    match world.planted {
        Some(Planted::NoTermCompare) => {
            txn.compares.retain(|compare| compare.key != "leader/term".as_bytes());
        }
        Some(Planted::NoDocumentCompare) => {
            txn.compares.retain(|compare| compare.key.starts_with(b"leader/"));
        }
        Some(Planted::LostWrite) => {
            let of_client = |op: &Op| matches!(op, Op::Put { key, .. } if key.starts_with(b"app/"));
            if txn.then.iter().any(of_client) && world.random.happens(200) {
                return None;
            }
        }
        Some(Planted::HotAddresses) => txn.then.iter_mut().for_each(heat),
        _ => {}
    }
    Some(Ask::Txn(txn))
}

/// Leaves the cooling addresses out of an assignment.
fn heat(op: &mut Op) {
    let Op::Put { key, value, .. } = op else { return };
    if !key.starts_with(b"assignment/") {
        return;
    }
    if let Ok(mut document) = Document::<Assignment>::decode(&Assignment::SCHEMA, value) {
        document.body.cooling.clear();
        if let Ok(bytes) = document.encode(&Assignment::SCHEMA) {
            *value = bytes;
        }
    }
}
