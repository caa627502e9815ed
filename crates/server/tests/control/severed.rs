//! A server's way to the store that can be cut: now, or after so many writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use store::{
    Got, Identity, KeyRange, LeaseGrant, LeaseId, MemoryStore, Page, Revision, Status, Store,
    StoreError, Txn, TxnAnswer, WatchRequest, WatchStream,
};
use tokio_util::sync::CancellationToken;

pub(crate) struct Severed {
    inner: Arc<MemoryStore>,
    /// Writes that still go through; negative is no limit.
    left: AtomicI64,
    cut: CancellationToken,
}

impl Severed {
    pub(crate) fn new(inner: Arc<MemoryStore>) -> Arc<Self> {
        let (left, cut) = (AtomicI64::new(-1), CancellationToken::new());
        Arc::new(Self { inner, left, cut })
    }

    /// Nothing comes through after so many more writes.
    pub(crate) fn cut_after(&self, writes: i64) {
        self.left.store(writes, Ordering::SeqCst);
        if writes == 0 {
            self.cut.cancel();
        }
    }

    /// Nothing comes through any more, and no answer either: as when the cable is cut.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    async fn pass<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.cut.is_cancelled() {
            std::future::pending::<()>().await;
        }
        tokio::select! {
            biased;
            () = self.cut.cancelled() => std::future::pending().await,
            answer = call => answer,
        }
    }
}

#[async_trait]
impl Store for Severed {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError> {
        self.pass(self.inner.get(key, at)).await
    }
    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.pass(self.inner.range(range, limit, at)).await
    }
    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError> {
        if self.cut.is_cancelled() {
            std::future::pending::<()>().await;
        }
        // The last write happens and its answer arrives; the next finds the cable cut.
        let limited = self.left.load(Ordering::SeqCst) >= 0;
        if limited && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.cut.cancel();
            std::future::pending::<()>().await;
        }
        self.inner.txn(txn).await
    }
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        let watch = self.pass(self.inner.watch(request)).await?;
        let cut = self.cut.clone();
        let silent = futures_util::stream::pending();
        Ok(watch.take_until(cut.cancelled_owned()).chain(silent).boxed())
    }
    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrant, StoreError> {
        self.pass(self.inner.lease_grant(ttl)).await
    }
    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.pass(self.inner.lease_keep_alive(id)).await
    }
    async fn lease_left(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.pass(self.inner.lease_left(id)).await
    }
    async fn lease_revoke(&self, id: LeaseId) -> Result<Revision, StoreError> {
        self.pass(self.inner.lease_revoke(id)).await
    }
    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.pass(self.inner.compact(revision)).await
    }
    async fn status(&self) -> Result<Status, StoreError> {
        self.pass(self.inner.status()).await
    }
    async fn renew_identity(&self) -> Result<Identity, StoreError> {
        self.pass(self.inner.renew_identity()).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
