//! The store itself: what the trait asks, answered from the tables. It decides no transaction.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::faults::{self, Faults};
use super::tables::MemoryTables;
use crate::clock::{Clock, SystemClock};
use crate::evaluate::{PageBuilder, drop_leased, evaluate};
use crate::hub::{History, Hub, Replay};
use crate::lease::{Leases, Renewal, drive};
use crate::limits::{check_key, check_range, check_ttl, check_txn};
use crate::store::{Got, LeaseGrant, Page, Status, Store, WatchRequest, WatchStream};
use crate::{Identity, KeyRange, LeaseId, Revision, StoreError, Txn, TxnAnswer};

/// A store in memory.
pub struct MemoryStore {
    shared: Arc<Shared>,
    faults: Faults,
    /// Started with the first lease: only then is a runtime needed.
    expiry: OnceLock<AbortHandle>,
}

struct Shared {
    tables: Mutex<MemoryTables>,
    hub: Arc<Hub>,
    leases: Arc<Leases>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::default()))
    }

    /// An empty store on a clock of the caller's.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let tables = MemoryTables::new();
        let hub = Hub::new(tables.head, tables.identity);
        let leases = Arc::new(Leases::default());
        let shared = Arc::new(Shared { tables: Mutex::new(tables), hub, leases, clock });
        Self { shared, faults: Faults::default(), expiry: OnceLock::new() }
    }

    /// The knobs that make it fail.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Ends every watch as if the connection to the store had broken.
    pub fn disconnect_watches(&self) {
        self.shared.hub.disconnect(&faults::injected());
    }

    fn start_expiry(&self) {
        self.expiry.get_or_init(|| {
            let (leases, clock) = (Arc::clone(&self.shared.leases), Arc::clone(&self.shared.clock));
            let shared = Arc::downgrade(&self.shared);
            let task = drive(leases, clock, async move |now| {
                let shared = shared.upgrade()?;
                Some(shared.leases.due(now).into_iter().try_for_each(|id| shared.end_lease(id)))
            });
            tokio::spawn(task).abort_handle()
        });
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.shared.hub.close();
        if let Some(task) = self.expiry.get() {
            task.abort();
        }
    }
}

impl Shared {
    /// Changes the tables and hands out what changed before anybody else can change them.
    fn write<T>(
        &self,
        change: impl FnOnce(&mut MemoryTables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tables = self.tables.lock();
        tables.check_open()?;
        let answer = change(&mut tables)?;
        for (revision, events) in tables.pending.drain(..) {
            self.hub.publish(revision, &events);
        }
        Ok(answer)
    }

    fn end_lease(&self, id: LeaseId) -> Result<(), StoreError> {
        self.write(|tables| {
            drop_leased(tables, id)?;
            tables.leases.remove(&id);
            self.leases.remove(id);
            Ok(())
        })
    }
}

#[async_trait]
impl History for Shared {
    async fn replay(
        &self,
        range: &KeyRange,
        from: Revision,
        to: Revision,
    ) -> Result<Replay, StoreError> {
        self.tables.lock().replay(range, from, to)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError> {
        check_key(key)?;
        self.faults.before_read()?;
        let tables = self.shared.tables.lock();
        let at = tables.readable(at)?;
        Ok(Got { kv: tables.get_at(key, at), revision: tables.head })
    }

    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        check_range(range)?;
        self.faults.before_read()?;
        let tables = self.shared.tables.lock();
        let at = tables.readable(at)?;
        let mut page = PageBuilder::new(limit);
        tables.range_at(range, at, &mut page);
        Ok(Page { kvs: page.kvs, more: page.more, revision: tables.head })
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError> {
        check_txn(&txn)?;
        self.faults.before_write()?;
        let answer = self.shared.write(|tables| evaluate(tables, &txn))?;
        self.faults.after_write()?;
        Ok(answer)
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        check_range(&request.range)?;
        self.faults.before_read()?;
        let history: Arc<dyn History> = self.shared.clone();
        Ok(self.shared.hub.watch(history, request))
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrant, StoreError> {
        let ttl = check_ttl(ttl)?;
        self.faults.before_write()?;
        self.start_expiry();
        let now = self.shared.clock.now();
        let id = self.shared.write(|tables| {
            let id = tables.grant();
            self.shared.leases.insert(id, ttl, ttl, false, now);
            Ok(id)
        })?;
        self.faults.after_write()?;
        Ok(LeaseGrant { id, ttl })
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.faults.before_write()?;
        self.shared.tables.lock().check_open()?;
        match self.shared.leases.renew(id, self.shared.clock.now())? {
            Renewal::Done(ttl) | Renewal::MustKeep(ttl) => Ok(ttl),
        }
    }

    async fn lease_left(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.faults.before_read()?;
        self.shared.tables.lock().check_open()?;
        self.shared.leases.left(id, self.shared.clock.now())
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<Revision, StoreError> {
        self.faults.before_write()?;
        self.shared.leases.left(id, self.shared.clock.now())?;
        self.shared.end_lease(id)?;
        self.faults.after_write()?;
        Ok(self.shared.tables.lock().head)
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.faults.before_write()?;
        self.shared.write(|tables| tables.compact(revision))
    }

    async fn status(&self) -> Result<Status, StoreError> {
        self.faults.before_read()?;
        let tables = self.shared.tables.lock();
        tables.check_open()?;
        let bytes = tables.bytes();
        Ok(Status {
            revision: tables.head,
            compacted: tables.compacted,
            db_bytes: bytes,
            db_used_bytes: bytes,
            identity: tables.identity,
            backend: "memory",
        })
    }

    async fn renew_identity(&self) -> Result<Identity, StoreError> {
        self.faults.before_write()?;
        self.shared.write(|tables| {
            tables.identity = Identity::fresh();
            self.shared.hub.renew(tables.identity);
            Ok(tables.identity)
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.tables.lock().closed = true;
        self.shared.hub.close();
        if let Some(task) = self.expiry.get() {
            task.abort();
        }
        Ok(())
    }
}
