//! Events on their way into the store: a bounded queue, written in batches, the oldest forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use api::event::Event;
use api::operation::ControllerView;
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
    counts: Arc<Counts>,
}

/// What became of events.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    /// They came too fast.
    dropped: AtomicU64,
    /// The store did not take them.
    unwritten: AtomicU64,
}

/// Gives them to [`write`].
#[derive(Debug)]
pub struct EventQueue {
    queue: mpsc::Receiver<StoredEvent>,
    counts: Arc<Counts>,
}

impl EventQueue {
    /// Takes the oldest event that waits to be written.
    pub fn take(&mut self) -> Option<Event> {
        self.queue.try_recv().ok().map(|stored| stored.event)
    }
}

impl Events {
    /// A server's queue and its end.
    #[must_use]
    pub fn new(server: &str) -> (Self, EventQueue) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let waiting = EventQueue { queue: receiver, counts: counts.clone() };
        (Self { server: server.to_owned(), queue, number: AtomicU32::new(0), counts }, waiting)
    }

    /// Records an event. When the queue is full it is counted and lost: nothing waits for events.
    pub fn record(&self, event: Event) {
        tracing::info!(kind = event.kind, message = event.message, "event");
        let number = self.number.fetch_add(1, Ordering::Relaxed) % 10_000;
        let event = StoredEvent { event, number, server: self.server.clone() };
        if self.queue.try_send(event).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were lost: they came too fast, or the store did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        count(&self.counts.dropped) + count(&self.counts.unwritten)
    }

    /// How the writing of events is doing, beside the controllers.
    #[must_use]
    pub fn view(&self) -> ControllerView {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (dropped, unwritten) = (count(&self.counts.dropped), count(&self.counts.unwritten));
        let mut lost = Vec::new();
        if dropped > 0 {
            lost.push(format!("{dropped} events lost: they came too fast"));
        }
        if unwritten > 0 {
            lost.push(format!("{unwritten} events lost: the store did not take them"));
        }
        ControllerView {
            name: "events".to_owned(),
            period_ms: 0,
            runs: count(&self.counts.written),
            failures: dropped + unwritten,
            last_run: None,
            last_took_ms: 0,
            last_result: lost.join("; "),
        }
    }
}

/// Writes events until told to stop. One that can't be written is lost.
pub async fn write(mut queue: EventQueue, store: Arc<dyn Store>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        // Cancel-safe: what `recv_many` has not handed over stays in the queue.
        tokio::select! {
            () = stop.cancelled() => return,
            received = queue.queue.recv_many(&mut batch, BATCH) => if received == 0 { return },
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut txn = Txn::default();
        for event in batch.drain(..) {
            let document = store::document::Document::new(&StoredEvent::SCHEMA, event);
            if let Ok(bytes) = document.encode(&StoredEvent::SCHEMA) {
                txn = txn.then(Op::put(document.body.key(), bytes));
            }
        }
        let counted = match store.txn(txn).await {
            Ok(_) => &queue.counts.written,
            Err(error) => {
                tracing::warn!(%error, "write events");
                &queue.counts.unwritten
            }
        };
        counted.fetch_add(count, Ordering::Relaxed);
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
