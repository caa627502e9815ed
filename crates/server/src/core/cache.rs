//! Keeps the view: lists everything at one revision, then follows the store's watch; lists again
//! when that ends as compacted.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use store::{EventKind, KeyRange, Revision, Store, StoreError, WatchRequest, read_all};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::lead::PREFIX;
use super::view::View;

/// How long a reader waits for a revision it has seen elsewhere.
const WAIT_FOR_REVISION: Duration = Duration::from_secs(1);

/// How long after a failure the store is asked again.
const RETRY: Duration = Duration::from_millis(100);

/// The newest view.
pub struct Cache {
    view: ArcSwap<View>,
    /// Where the watch stands; the view may show less when nothing it shows has changed since.
    revision: watch::Sender<Revision>,
    /// The revision of the last change of the view.
    changed: watch::Sender<Revision>,
    /// Asks for everything to be listed.
    stale: Notify,
}

impl Cache {
    /// Reads everything once.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn open(store: &dyn Store) -> Result<Arc<Self>, StoreError> {
        let view = list(store).await?;
        let (revision, _) = watch::channel(view.revision);
        let (changed, _) = watch::channel(view.revision);
        Ok(Arc::new(Self {
            view: ArcSwap::from_pointee(view),
            revision,
            changed,
            stale: Notify::new(),
        }))
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Tells of each new view by its revision.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Revision> {
        self.changed.subscribe()
    }

    /// Sees to it that the view shows everything up to a revision, however long that takes: waits
    /// for the watch, and where that does not come so far, has everything listed at one revision.
    pub async fn catch_up(&self, to: Revision) {
        while !self.wait_for(to).await {
            self.stale.notify_one();
        }
    }

    /// Waits until the view shows a revision, for at most a second; says whether it does.
    pub async fn wait_for(&self, revision: Revision) -> bool {
        let mut changes = self.revision.subscribe();
        let reached = changes.wait_for(|now| *now >= revision);
        tokio::time::timeout(WAIT_FOR_REVISION, reached).await.is_ok_and(|r| r.is_ok())
    }

    /// Follows the store until told to stop.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            // All are cancel-safe: a watch is made anew from where it stood.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.stale.notified() => self.relist(store.as_ref()).await,
                ended = self.follow(store.as_ref()) => {
                    tracing::warn!(error = %ended, "the watch of the store ended");
                    if ended.must_relist() {
                        self.relist(store.as_ref()).await;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn relist(&self, store: &dyn Store) {
        match list(store).await {
            Ok(view) => self.swap(view),
            Err(error) => tracing::warn!(%error, "list the store"),
        }
    }

    /// Puts a view in place. Only the task that follows the store does.
    fn swap(&self, view: View) {
        let revision = view.revision;
        self.view.store(Arc::new(view));
        self.revision.send_replace(revision);
        self.changed.send_replace(revision);
    }

    /// Follows one watch to its end.
    async fn follow(&self, store: &dyn Store) -> StoreError {
        let from = Revision(self.revision.borrow().0 + 1);
        let mut batches = match store.watch(WatchRequest::prefix("", from)).await {
            Ok(batches) => batches,
            Err(error) => return error,
        };
        while let Some(batch) = batches.next().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return error,
            };
            // What leaders write to show that they live concerns no reader of the view.
            if batch.events.iter().all(|event| event.kv.key.starts_with(PREFIX.as_bytes())) {
                self.revision.send_replace(batch.revision);
                continue;
            }
            let mut view = View::clone(&self.view());
            for event in &batch.events {
                let deleted = event.kind == EventKind::Delete;
                if let Err(error) = view.apply(&event.kv, deleted) {
                    let key = String::from_utf8_lossy(&event.kv.key).into_owned();
                    tracing::error!(%error, key, "read a document; the one before is kept");
                }
            }
            view.revision = batch.revision;
            self.swap(view);
        }
        StoreError::Unavailable { what: "its watch ended".into(), cause: None }
    }
}

async fn list(store: &dyn Store) -> Result<View, StoreError> {
    let (revision, kvs) = read_all(store, KeyRange::prefix("")).await?;
    let mut view = View { revision, ..View::default() };
    for kv in &kvs {
        if let Err(error) = view.apply(kv, false) {
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            tracing::error!(%error, key, "read a document; it is left out");
        }
    }
    Ok(view)
}
