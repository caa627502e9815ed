//! The writer's side of the database: what changes inside one SQLite transaction, and what has to
//! be told to others once that is durable.

use std::time::Duration;

use rusqlite::{Connection, Params};

use super::failure::engine;
use super::open::State;
use super::read;
use crate::evaluate::{PageBuilder, Tables};
use crate::{Event, EventKind, Identity, KeyRange, KeyValue, LeaseId, Revision, StoreError};

/// What becomes true for others when a commit is durable.
#[derive(Debug)]
pub(super) enum Effect {
    Events(Revision, Vec<Event>),
    LeaseGranted(LeaseId, Duration),
    LeaseRenewed(LeaseId),
    LeaseKept(LeaseId, Duration),
    LeaseGone(LeaseId),
    Identity(Identity),
}

/// The tables inside the writer's transaction.
#[derive(Debug)]
pub(super) struct WriteTables {
    pub(super) conn: Connection,
    pub(super) state: State,
    effects: Vec<Effect>,
    max_pages: u64,
    room: Option<Room>,
}

/// How far the database may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Up to the quota.
    Quota,
    /// An eighth past it, at most 16 MiB: for what makes room. A delete writes rows of some hundred
    /// bytes before a compaction can remove anything: enough for tens of thousands.
    Reserve,
}

const MAX_RESERVE_PAGES: u64 = 4096;

impl WriteTables {
    pub(super) fn new(conn: Connection, state: State, max_pages: u64) -> Self {
        Self { conn, state, effects: Vec::new(), max_pages, room: None }
    }

    /// Says how far what follows may let the database grow. SQLite itself never shrinks the limit
    /// below what is in use.
    pub(super) fn allow(&mut self, room: Room) -> Result<(), StoreError> {
        if self.room == Some(room) {
            return Ok(());
        }
        let pages = match room {
            Room::Quota => self.max_pages,
            Room::Reserve => self.max_pages + (self.max_pages / 8).min(MAX_RESERVE_PAGES),
        };
        self.conn
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .map_err(|error| engine("set how far the database may grow", error))?;
        self.room = Some(room);
        Ok(())
    }

    /// Notes what is to be told after the commit.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn execute(
        &self,
        what: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        let run = || self.conn.prepare_cached(sql)?.execute(params);
        run().map_err(|error| engine(what, error))
    }

    /// Writes `meta` as the state says, before the commit.
    pub(super) fn save_state(&self) -> Result<(), StoreError> {
        let state = &self.state;
        self.execute(
            "write where the store stands",
            "UPDATE meta SET identity = ?1, revision = ?2, compacted = ?3, swept = ?4,
             last_lease = ?5",
            (
                state.identity.to_string(),
                state.revision.0,
                state.compacted.0,
                state.swept.0,
                state.last_lease,
            ),
        )?;
        Ok(())
    }

    pub(super) fn grant_lease(&mut self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let id = LeaseId(self.state.last_lease + 1);
        let ttl_ms = millis(ttl);
        self.allow(Room::Quota)?;
        self.execute(
            "write a lease",
            "INSERT INTO lease VALUES (?1, ?2, ?3)",
            (id.0, ttl_ms, ttl_ms),
        )?;
        self.state.last_lease = id.0;
        Ok(id)
    }

    /// Writes what a lease has left. False when there is no such lease.
    pub(super) fn keep_lease(&mut self, id: LeaseId, left: Duration) -> Result<bool, StoreError> {
        let sql = "UPDATE lease SET left_ms = ?2 WHERE id = ?1";
        Ok(self.execute("write what a lease has left", sql, (id.0, millis(left)))? > 0)
    }

    pub(super) fn remove_lease(&mut self, id: LeaseId) -> Result<(), StoreError> {
        self.execute("remove a lease", "DELETE FROM lease WHERE id = ?1", [id.0])?;
        Ok(())
    }

    /// Forgets the past before `revision`; its rows are swept out later, bit by bit.
    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        let State { revision: current, compacted, .. } = self.state;
        if revision > current {
            return Err(StoreError::FutureRevision { asked: revision, current });
        }
        if revision <= compacted {
            return Err(read::gone(compacted));
        }
        self.state.compacted = revision;
        Ok(())
    }

    pub(super) fn renew_identity(&mut self) -> Identity {
        self.state.identity = Identity::fresh();
        self.state.identity
    }

    fn store(&self, seq: i64, event: &Event) -> Result<(), StoreError> {
        let kv = &event.kv;
        let lease = kv.lease.map_or(0, |lease| lease.0);
        let put = event.kind == EventKind::Put;
        self.execute(
            "write an event",
            "INSERT INTO event (seq, key, created, version, lease, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                seq,
                &kv.key[..],
                kv.create_revision.0,
                kv.version,
                lease,
                put.then_some(&kv.value[..]),
            ),
        )?;
        if put {
            self.execute(
                "write a key",
                "INSERT INTO head VALUES (?1, ?2, ?3) ON CONFLICT (key)
                 DO UPDATE SET seq = excluded.seq, lease = excluded.lease",
                (&kv.key[..], seq, lease),
            )?;
        } else {
            self.execute("remove a key", "DELETE FROM head WHERE key = ?1", [&kv.key[..]])?;
        }
        Ok(())
    }
}

/// At most a year (see the limit on leases), so it fits.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Tables for WriteTables {
    fn revision(&self) -> Revision {
        self.state.revision
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        read::head(&self.conn, key)
    }

    fn range(&mut self, range: &KeyRange, page: &mut PageBuilder) -> Result<(), StoreError> {
        read::head_range(&self.conn, range, page)
    }

    fn has_lease(&mut self, id: LeaseId) -> Result<bool, StoreError> {
        self.conn
            .prepare_cached("SELECT 1 FROM lease WHERE id = ?1")
            .and_then(|mut select| select.exists([id.0]))
            .map_err(|error| engine("look for a lease", error))
    }

    fn leased(&mut self, id: LeaseId) -> Result<Vec<KeyValue>, StoreError> {
        read::leased(&self.conn, id)
    }

    fn append(&mut self, events: Vec<Event>) -> Result<(), StoreError> {
        let puts = events.iter().any(|event| event.kind == EventKind::Put);
        self.allow(if puts { Room::Quota } else { Room::Reserve })?;
        let revision = self.state.revision.next();
        for (seq, event) in (read::first_seq(revision)..).zip(&events) {
            self.store(seq, event)?;
        }
        self.state.revision = revision;
        self.effect(Effect::Events(revision, events));
        Ok(())
    }
}
