//! The store itself: reads go to the readers, writes to the writer, leases to their clock. No SQL
//! stands here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::failure::internal;
use super::readers::Readers;
use super::tables::{self, Effect};
use super::writer::Writer;
use super::{open, read};
use crate::clock::{Clock, SystemClock};
use crate::evaluate::{PageBuilder, drop_leased, evaluate};
use crate::hub::{History, Hub};
use crate::lease::{Leases, Renewal, drive};
use crate::limits::{check_key, check_range, check_ttl, check_txn};
use crate::store::{Got, LeaseGrant, Page, Status, Store, WatchRequest, WatchStream};
use crate::{Identity, KeyRange, LeaseId, Revision, StoreError, Txn, TxnAnswer};

/// How to open a database.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The largest the database file may grow, in bytes; a write past it is refused as
    /// [`StoreError::DiskFull`]. The write-ahead log comes beside it, up to 16 MiB in the usual
    /// case. 2 GiB by default, as etcd's `--quota-backend-bytes`.
    pub max_bytes: u64,
    /// The clock leases go by.
    pub clock: Arc<dyn Clock>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { max_bytes: 2 * 1024 * 1024 * 1024, clock: Arc::new(SystemClock::default()) }
    }
}

/// A store in one SQLite database.
pub struct SqliteStore {
    path: PathBuf,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    hub: Arc<Hub>,
    leases: Arc<Leases>,
    clock: Arc<dyn Clock>,
    expiry: AbortHandle,
}

impl SqliteStore {
    /// Opens the database at `path`, made if it is not there (its directory must be), and checks
    /// it. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::AlreadyOpen`], [`StoreError::Corrupt`], [`StoreError::NewerFormat`],
    /// [`StoreError::Unavailable`] when the file cannot be used, [`StoreError::DiskFull`].
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let clock = Arc::clone(&options.clock);
        let opening = path.clone();
        let opened = tokio::task::spawn_blocking(move || open::open(&opening, &options))
            .await
            .map_err(|error| internal("open the database", error))??;
        let hub = Hub::new(opened.state.revision, opened.state.identity);
        let leases = Arc::new(Leases::default());
        for lease in &opened.leases {
            leases.insert(lease.id, lease.ttl, lease.left, true, clock.now());
        }
        let readers = Arc::new(Readers::new(path.clone()));
        let writer = Writer::start(opened, Arc::clone(&hub), Arc::clone(&leases), clock.clone())?;
        let expiry = start_expiry(&writer, &leases, &clock);
        Ok(Self { path, writer, readers, hub, leases, clock, expiry })
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks through the whole database, values and indexes against each other, for damage. Takes
    /// as long as reading all of it; the quicker part of it is done at each opening.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub async fn verify(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.readers.run(move |conn| open::verify(conn, &path)).await
    }
}

/// The task that ends leases. It holds nothing that would keep a dropped store alive.
fn start_expiry(writer: &Arc<Writer>, leases: &Arc<Leases>, clock: &Arc<dyn Clock>) -> AbortHandle {
    let writer = Arc::downgrade(writer);
    let for_task = Arc::clone(leases);
    let task = drive(Arc::clone(leases), Arc::clone(clock), async move |now| {
        let writer = writer.upgrade()?;
        let leases = Arc::clone(&for_task);
        let done = writer.run(move |tables| {
            for id in leases.due(now) {
                end_lease(tables, id)?;
            }
            leases.stale(now).into_iter().try_for_each(|(id, left)| {
                tables.keep_lease(id, left)?;
                tables.effect(Effect::LeaseKept(id, left));
                Ok(())
            })
        });
        Some(done.await)
    });
    tokio::spawn(task).abort_handle()
}

fn end_lease(tables: &mut tables::WriteTables, id: LeaseId) -> Result<(), StoreError> {
    drop_leased(tables, id)?;
    tables.remove_lease(id)?;
    tables.effect(Effect::LeaseGone(id));
    Ok(())
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.expiry.abort();
        self.hub.close();
        self.writer.finish();
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError> {
        check_key(key)?;
        let key = key.to_owned();
        let read = move |conn: &mut rusqlite::Connection| {
            read::snapshot(conn, at, |snapshot| {
                let kv = match snapshot.past {
                    None => read::head(snapshot.conn, &key)?,
                    Some(at) => read::at(snapshot.conn, &key, at)?,
                };
                Ok(Got { kv, revision: snapshot.revision })
            })
        };
        self.readers.run(read).await
    }

    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        check_range(range)?;
        let range = range.clone();
        let read = move |conn: &mut rusqlite::Connection| {
            read::snapshot(conn, at, |snapshot| {
                let mut page = PageBuilder::new(limit);
                match snapshot.past {
                    None => read::head_range(snapshot.conn, &range, &mut page)?,
                    Some(at) => read::range_at(snapshot.conn, &range, at, &mut page)?,
                }
                Ok(Page { kvs: page.kvs, more: page.more, revision: snapshot.revision })
            })
        };
        self.readers.run(read).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError> {
        check_txn(&txn)?;
        self.writer.run(move |tables| evaluate(tables, &txn)).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        check_range(&request.range)?;
        let history: Arc<dyn History> = self.readers.clone();
        Ok(self.hub.watch(history, request))
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrant, StoreError> {
        let ttl = check_ttl(ttl)?;
        let id = self.writer.run(move |tables| {
            let id = tables.grant_lease(ttl)?;
            tables.effect(Effect::LeaseGranted(id, ttl));
            Ok(id)
        });
        Ok(LeaseGrant { id: id.await?, ttl })
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.writer.check_open()?;
        match self.leases.renew(id, self.clock.now())? {
            Renewal::Done(ttl) => Ok(ttl),
            Renewal::MustKeep(ttl) => {
                let keep = self.writer.run(move |tables| {
                    if !tables.keep_lease(id, ttl)? {
                        return Err(StoreError::LeaseNotFound(id));
                    }
                    tables.effect(Effect::LeaseRenewed(id));
                    Ok(ttl)
                });
                keep.await
            }
        }
    }

    async fn lease_left(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.writer.check_open()?;
        self.leases.left(id, self.clock.now())
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<Revision, StoreError> {
        self.leases.left(id, self.clock.now())?;
        let revoke = self.writer.run(move |tables| {
            end_lease(tables, id)?;
            Ok(crate::evaluate::Tables::revision(tables))
        });
        revoke.await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.writer.run(move |tables| tables.compact(revision)).await
    }

    async fn status(&self) -> Result<Status, StoreError> {
        self.writer.check_open()?;
        self.readers.run(read::status).await
    }

    async fn renew_identity(&self) -> Result<Identity, StoreError> {
        let renew = self.writer.run(|tables| {
            let identity = tables.renew_identity();
            tables.effect(Effect::Identity(identity));
            Ok(identity)
        });
        renew.await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.expiry.abort();
        self.hub.close();
        self.readers.close().await;
        self.writer.close().await
    }
}
