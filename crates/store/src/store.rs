//! The trait every backend is, and the answers it gives. The shape is etcd's v3 API: whatever is
//! promised here, etcd keeps too.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::{Event, Identity, KeyRange, KeyValue, LeaseId, Revision, StoreError, Txn, TxnAnswer};

/// One key as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// None when there is no such key.
    pub kv: Option<KeyValue>,
    /// Where the store stood when it answered, not the revision asked for.
    pub revision: Revision,
}

/// A part of a range as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In key order.
    pub kvs: Vec<KeyValue>,
    /// Whether the range holds more behind the last of them; then there is at least one.
    pub more: bool,
    /// Where the store stood when it answered, not the revision asked for.
    pub revision: Revision,
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// The keys to hear about.
    pub range: KeyRange,
    /// The first revision to hear about; may be of the past or the future. Zero means one.
    pub from: Revision,
    /// The identity `from` belongs to, when it was learnt earlier. Another one ends the watch.
    pub identity: Option<Identity>,
}

impl WatchRequest {
    /// Watches what begins with `prefix`, from a revision just learnt from this store.
    #[must_use]
    pub fn prefix(prefix: impl Into<bytes::Bytes>, from: Revision) -> Self {
        Self { range: KeyRange::prefix(prefix), from, identity: None }
    }
}

/// The events of one revision, all of them together, in the order they were made.
///
/// Without events it is a progress notice: nothing watched has changed up to `revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// Every event up to here has been handed out; going on means watching from the next one.
    pub revision: Revision,
    /// At most one for each key.
    pub events: Vec<Event>,
}

/// Batches of rising revision. An error is the last item: [`StoreError::Compacted`] says to list
/// again, anything else to watch again from the revision after the last batch.
pub type WatchStream = BoxStream<'static, Result<WatchBatch, StoreError>>;

/// A lease as granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Its name.
    pub id: LeaseId,
    /// How long it lives from each renewal; at least what was asked for.
    pub ttl: Duration,
}

/// What a store says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it stands.
    pub revision: Revision,
    /// Reads and watches before this revision are refused; zero when never compacted.
    pub compacted: Revision,
    /// Bytes the database takes on disk (in memory: of keys and values).
    pub db_bytes: u64,
    /// Bytes of those that hold data; the rest is free for new data.
    pub db_used_bytes: u64,
    /// Which history the revisions belong to.
    pub identity: Identity,
    /// The backend's name: `memory`, `sqlite` or `etcd`.
    pub backend: &'static str,
}

/// A store of bytes by key, with every revision since the last compaction.
///
/// Reads see every write acknowledged before they began. Dropping the future of a write leaves open
/// whether it happens. All of it can fail with [`StoreError::Unavailable`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads a key, now or (not none, not zero) as it was at a revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`], [`StoreError::FutureRevision`], [`StoreError::EmptyKey`],
    /// [`StoreError::KeyTooLong`].
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError>;

    /// Reads a range in key order, now or as it was at a revision: at most `limit` keys, and at
    /// most [`MAX_PAGE_KEYS`](crate::limits::MAX_PAGE_KEYS) keys and
    /// [`MAX_PAGE_BYTES`](crate::limits::MAX_PAGE_BYTES). Zero means those maxima alone. Go on with
    /// [`KeyRange::after`] while there is `more`, at the revision of the first page.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError>;

    /// Runs a transaction: all or nothing, at one revision. A transaction that changes nothing (a
    /// delete of what is not there) makes no revision.
    ///
    /// # Errors
    /// Those of [`limits::check_txn`](crate::limits::check_txn), [`StoreError::TooManyDeletes`],
    /// [`StoreError::LeaseNotFound`], [`StoreError::DiskFull`], [`StoreError::Uncertain`]: only
    /// after the last may anything have changed.
    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError>;

    /// Follows a range. That history is gone, and everything else that ends a watch later, comes
    /// as the stream's last item, so that there is one place to handle it.
    ///
    /// # Errors
    /// [`StoreError::KeyTooLong`].
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError>;

    /// Makes a lease that lives `ttl`, rounded up to whole seconds, from now and from each renewal.
    ///
    /// # Errors
    /// [`StoreError::LeaseTtl`], [`StoreError::DiskFull`].
    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrant, StoreError>;

    /// Renews a lease and returns the time to live it has now.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`].
    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError>;

    /// What a lease has left to live.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`].
    async fn lease_left(&self, id: LeaseId) -> Result<Duration, StoreError>;

    /// Ends a lease; its keys go at one revision. Returns where the store stands after.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`].
    async fn lease_revoke(&self, id: LeaseId) -> Result<Revision, StoreError>;

    /// Forgets what was overwritten or deleted before `revision`; reads and watches from it on
    /// still work.
    ///
    /// # Errors
    /// [`StoreError::FutureRevision`]; [`StoreError::Compacted`] when it was done up to there.
    async fn compact(&self, revision: Revision) -> Result<(), StoreError>;

    /// Where the store stands, how large it is, which it is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn status(&self) -> Result<Status, StoreError>;

    /// Gives the store a new identity: every watch ends as compacted. For restores.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`].
    async fn renew_identity(&self) -> Result<Identity, StoreError>;

    /// Ends the store in good order: writes what is still in memory (what leases have left), ends
    /// every watch, lets the database go. Everything after is refused. Acknowledged writes do not
    /// depend on it.
    ///
    /// # Errors
    /// What writing met.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Reads a whole range at one revision, page by page, and says which revision that was. What it
/// reads is held in memory.
///
/// # Errors
/// As [`Store::range`].
pub async fn read_all(
    store: &dyn Store,
    range: KeyRange,
) -> Result<(Revision, Vec<KeyValue>), StoreError> {
    let first = store.range(&range, 0, None).await?;
    let revision = first.revision;
    let (mut kvs, mut more) = (first.kvs, first.more);
    while more && let Some(last) = kvs.last() {
        let page = store.range(&range.after(&last.key), 0, Some(revision)).await?;
        more = page.more;
        kvs.extend(page.kvs);
    }
    Ok((revision, kvs))
}
