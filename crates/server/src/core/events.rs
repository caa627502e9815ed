//! Events on their way into the store: a bounded queue, written in batches, the oldest forgotten.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use api::event::Event;
use store::{KeyRange, Op, Store, Txn};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Kind, StoredEvent, Term};

/// Events waiting to be written: one for each of 1,000 instances at once.
const QUEUE: usize = 1024;

/// Events of one transaction; a store takes 128 operations.
const BATCH: usize = 64;

/// Events that are kept.
const KEEP: usize = 10_000;

/// Takes events.
#[derive(Debug)]
pub struct Events {
    server: String,
    queue: mpsc::Sender<StoredEvent>,
    number: AtomicU32,
    dropped: AtomicU64,
}

/// Gives them to [`write`].
pub type EventQueue = mpsc::Receiver<StoredEvent>;

impl Events {
    /// A server's queue and its end.
    #[must_use]
    pub fn new(server: &str) -> (Self, EventQueue) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let server = server.to_owned();
        (Self { server, queue, number: AtomicU32::new(0), dropped: AtomicU64::new(0) }, receiver)
    }

    /// Records an event. When the queue is full it is counted and lost: nothing waits for events.
    pub fn record(&self, event: Event) {
        tracing::info!(kind = event.kind, message = event.message, "event");
        let number = self.number.fetch_add(1, Ordering::Relaxed) % 10_000;
        let event = StoredEvent { event, number, server: self.server.clone() };
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were lost because they came too fast.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Writes events until told to stop. One that can't be written is lost.
pub(crate) async fn write(
    mut queue: EventQueue,
    store: std::sync::Arc<dyn Store>,
    stop: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        // Cancel-safe: what `recv_many` has not handed over stays in the queue.
        tokio::select! {
            () = stop.cancelled() => return,
            received = queue.recv_many(&mut batch, BATCH) => if received == 0 { return },
        }
        let mut txn = Txn::default();
        for event in batch.drain(..) {
            let document = store::document::Document::new(&StoredEvent::SCHEMA, event);
            if let Ok(bytes) = document.encode(&StoredEvent::SCHEMA) {
                txn = txn.then(Op::put(document.body.key(), bytes));
            }
        }
        if let Err(error) = store.txn(txn).await {
            tracing::warn!(%error, "write events");
        }
    }
}

/// Removes the oldest events beyond [`KEEP`]; gives how many.
///
/// # Errors
/// What the store answers.
pub(crate) async fn forget(
    store: &dyn Store,
    leader: &Term,
    keys: impl ExactSizeIterator<Item = String>,
) -> Result<usize, store::StoreError> {
    let surplus = keys.len().saturating_sub(KEEP);
    let last = keys.take(surplus).last();
    let Some(last) = last else { return Ok(0) };
    let first = StoredEvent::PREFIX.to_owned();
    // The range's end is not part of it: one event more stays than is kept.
    let range = KeyRange::between(first, last);
    let mut removed = 0;
    let page = store.range(&range, 100, None).await?;
    for kv in page.kvs {
        let txn = Txn::default().when(leader.fence()).then(Op::delete(kv.key));
        removed += usize::from(store.txn(txn).await?.succeeded);
    }
    Ok(removed)
}
