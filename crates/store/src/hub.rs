//! Hands the events of each revision to the watches of a process, and joins the past to the
//! present for each of them. Knows nothing of how a backend keeps its history.
//!
//! A watch registers first and then reads the past up to the revision at which it registered, page
//! by page as its reader takes it, while the present waits in its bounded buffer: no gap, no
//! repetition.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::{MAX_WATCH_BYTES, MAX_WATCH_EVENTS};
use crate::store::{WatchBatch, WatchRequest, WatchStream};
use crate::{Event, Identity, KeyRange, Relist, Revision, StoreError};

/// A part of the past.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Whole revisions, rising.
    pub(crate) batches: Vec<WatchBatch>,
    /// The first revision that has not been looked at.
    pub(crate) next: Revision,
}

/// Where the past comes from.
#[async_trait]
pub(crate) trait History: Send + Sync + 'static {
    /// The events of `range` from revision `from` to revision `to`, as many whole revisions as fit
    /// a watch's buffer. `Compacted` when `from` is gone or one revision alone does not fit.
    async fn replay(
        &self,
        range: &KeyRange,
        from: Revision,
        to: Revision,
    ) -> Result<Replay, StoreError>;
}

/// Collects replayed events into whole revisions, up to what a watch may hold.
#[derive(Debug, Default)]
pub(crate) struct ReplayPage {
    batches: Vec<WatchBatch>,
    events: usize,
    bytes: usize,
}

impl ReplayPage {
    /// Takes an event, in order of revisions. False when it does not fit: the page ends before its
    /// revision.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        self.events += 1;
        self.bytes += event.size();
        let revision = event.kv.mod_revision;
        let fits = self.events <= MAX_WATCH_EVENTS && self.bytes <= MAX_WATCH_BYTES;
        match self.batches.last_mut() {
            Some(batch) if batch.revision == revision => {
                if !fits {
                    self.batches.pop();
                    return false;
                }
                batch.events.push(event);
            }
            _ if fits => self.batches.push(WatchBatch { revision, events: vec![event] }),
            _ => return false,
        }
        true
    }

    /// The page, `stopped` at a revision that did not fit or complete up to `to`.
    pub(crate) fn finish(
        self,
        stopped: Option<Revision>,
        to: Revision,
    ) -> Result<Replay, StoreError> {
        match stopped {
            Some(at) if self.batches.is_empty() => {
                Err(StoreError::Compacted { at: at.next(), relist: Relist::Lagging })
            }
            Some(at) => Ok(Replay { batches: self.batches, next: at }),
            None => Ok(Replay { batches: self.batches, next: to.next() }),
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<WatchBatch>,
    events: usize,
    bytes: usize,
    reached: Revision,
    end: Option<StoreError>,
}

#[derive(Debug)]
struct Watcher {
    range: KeyRange,
    from: Revision,
    queue: Mutex<Queue>,
    wake: Notify,
}

impl Watcher {
    fn offer(&self, revision: Revision, events: &[Event]) {
        if revision < self.from {
            return;
        }
        let mine = events.iter().filter(|event| self.range.contains(&event.kv.key));
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return;
        }
        let (mut taken, mut count, mut bytes) = (Vec::new(), queue.events, queue.bytes);
        for event in mine {
            count += 1;
            bytes += event.size();
            if count > MAX_WATCH_EVENTS || bytes > MAX_WATCH_BYTES {
                drop(queue);
                self.end(StoreError::Compacted { at: revision, relist: Relist::Lagging });
                return;
            }
            taken.push(event.clone());
        }
        queue.reached = revision;
        if !taken.is_empty() {
            (queue.events, queue.bytes) = (count, bytes);
            queue.batches.push_back(WatchBatch { revision, events: taken });
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Ends the watch now: what waits is dropped, since the reader has to begin anew anyway.
    fn end(&self, error: StoreError) {
        let mut queue = self.queue.lock();
        if queue.end.is_none() {
            *queue = Queue { end: Some(error), ..Queue::default() };
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// The next batch after `delivered`, or none when nothing waits.
    fn take(&self, delivered: Revision) -> Option<Result<WatchBatch, StoreError>> {
        let mut queue = self.queue.lock();
        if let Some(batch) = queue.batches.pop_front() {
            queue.events -= batch.events.len();
            queue.bytes -= batch.events.iter().map(Event::size).sum::<usize>();
            return Some(Ok(batch));
        }
        if let Some(error) = &queue.end {
            return Some(Err(error.clone()));
        }
        let (revision, events) = (queue.reached, Vec::new());
        (revision > delivered).then_some(Ok(WatchBatch { revision, events }))
    }
}

#[derive(Debug)]
struct Inner {
    revision: Revision,
    identity: Identity,
    next: u64,
    watchers: BTreeMap<u64, Arc<Watcher>>,
    closed: bool,
}

/// All watches of one store in this process.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

impl Hub {
    pub(crate) fn new(revision: Revision, identity: Identity) -> Arc<Self> {
        let inner = Inner { revision, identity, next: 0, watchers: BTreeMap::new(), closed: false };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    /// Hands out what a revision changed. Revisions must come in order, after they are durable.
    pub(crate) fn publish(&self, revision: Revision, events: &[Event]) {
        let mut inner = self.inner.lock();
        inner.revision = revision;
        for watcher in inner.watchers.values() {
            watcher.offer(revision, events);
        }
    }

    /// The store is another one now.
    pub(crate) fn renew(&self, identity: Identity) {
        let mut inner = self.inner.lock();
        inner.identity = identity;
        let error = StoreError::other_identity(inner.revision);
        end_all(&mut inner, &error);
    }

    /// The connection to the engine was lost: watches end, new ones are taken.
    pub(crate) fn disconnect(&self, error: &StoreError) {
        end_all(&mut self.inner.lock(), error);
    }

    /// The store is gone.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        end_all(&mut inner, &StoreError::closed());
    }

    /// Follows what `request` asks for, the past from `history` first.
    pub(crate) fn watch(
        self: &Arc<Self>,
        history: Arc<dyn History>,
        request: WatchRequest,
    ) -> WatchStream {
        let mut inner = self.inner.lock();
        if inner.closed {
            return stream::iter([Err(StoreError::closed())]).boxed();
        }
        if request.identity.is_some_and(|identity| identity != inner.identity) {
            return stream::iter([Err(StoreError::other_identity(inner.revision))]).boxed();
        }
        let from = request.from.max(Revision::FIRST);
        let past_until = inner.revision;
        let watcher = Arc::new(Watcher {
            range: request.range,
            from,
            queue: Mutex::new(Queue::default()),
            wake: Notify::new(),
        });
        let id = inner.next;
        inner.next += 1;
        inner.watchers.insert(id, Arc::clone(&watcher));
        drop(inner);
        let place = Place { hub: Arc::clone(self), id, watcher };
        Follower { place, history, next: from, past_until, ready: VecDeque::new() }.stream()
    }
}

fn end_all(inner: &mut Inner, error: &StoreError) {
    for watcher in std::mem::take(&mut inner.watchers).into_values() {
        watcher.end(error.clone());
    }
}

/// A watch's entry in the hub, removed when its reader goes.
struct Place {
    hub: Arc<Hub>,
    id: u64,
    watcher: Arc<Watcher>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.inner.lock().watchers.remove(&self.id);
    }
}

struct Follower {
    place: Place,
    history: Arc<dyn History>,
    /// The first revision not handed out yet.
    next: Revision,
    /// Up to here comes from history.
    past_until: Revision,
    ready: VecDeque<WatchBatch>,
}

impl Follower {
    fn stream(self) -> WatchStream {
        stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(batch) => Some((Ok(batch), Some(follower))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        while self.ready.is_empty() && self.next <= self.past_until {
            self.page().await?;
        }
        if let Some(batch) = self.ready.pop_front() {
            return Ok(batch);
        }
        loop {
            let delivered = Revision(self.next.0 - 1);
            if let Some(found) = self.place.watcher.take(delivered) {
                let batch = found?;
                self.next = batch.revision.next();
                return Ok(batch);
            }
            self.place.watcher.wake.notified().await;
        }
    }

    /// Reads a page of the past; behind its last one stands the progress made.
    async fn page(&mut self) -> Result<(), StoreError> {
        let range = &self.place.watcher.range;
        let page = self.history.replay(range, self.next, self.past_until).await?;
        self.next = page.next;
        let reached = page.batches.last().map(|batch| batch.revision);
        self.ready.extend(page.batches);
        if self.next > self.past_until && reached != Some(self.past_until) {
            self.ready.push_back(WatchBatch { revision: self.past_until, events: Vec::new() });
        }
        // A watch that was ended meanwhile (another identity, a full buffer) hands out no more.
        match &self.place.watcher.queue.lock().end {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}
