//! The queries, over whatever connection they are given.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

use super::failure::engine;
use crate::evaluate::PageBuilder;
use crate::hub::{Replay, ReplayPage};
use crate::{Event, Identity, KeyRange, KeyValue, LeaseId, Relist, Revision, Status, StoreError};

/// Bits of an event's number that count inside its revision.
pub(super) const SUB_BITS: u32 = 20;

/// The number of a revision's first event.
pub(super) fn first_seq(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX >> SUB_BITS).saturating_mul(1 << SUB_BITS)
}

fn revision_of(seq: i64) -> Revision {
    Revision(u64::try_from(seq >> SUB_BITS).unwrap_or(0))
}

/// One consistent state of the database.
pub(super) struct Snapshot<'a> {
    pub(super) conn: &'a Connection,
    /// Where the store stood.
    pub(super) revision: Revision,
    /// The revision to read at, unless that is the newest.
    pub(super) past: Option<Revision>,
}

/// Reads inside one read transaction, at a revision that is checked to be readable.
pub(super) fn snapshot<T>(
    conn: &mut Connection,
    at: Option<Revision>,
    read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let txn = conn.transaction().map_err(|error| engine("begin to read", error))?;
    let (revision, compacted) = stand(&txn)?;
    let at = at.filter(|at| *at != Revision::ZERO);
    if let Some(asked) = at.filter(|at| *at > revision) {
        return Err(StoreError::FutureRevision { asked, current: revision });
    }
    if at.is_some_and(|at| at < compacted) {
        return Err(gone(compacted));
    }
    read(&Snapshot { conn: &txn, revision, past: at.filter(|at| *at < revision) })
}

fn stand(conn: &Connection) -> Result<(Revision, Revision), StoreError> {
    conn.prepare_cached("SELECT revision, compacted FROM meta")
        .and_then(|mut select| {
            select.query_row([], |row| Ok((Revision(row.get(0)?), Revision(row.get(1)?))))
        })
        .map_err(|error| engine("read where the store stands", error))
}

pub(super) fn gone(compacted: Revision) -> StoreError {
    StoreError::Compacted { at: compacted, relist: Relist::History }
}

const COLUMNS: &str = "event.key, event.seq, event.created, event.version, event.lease, \
                       event.value";

fn key_value(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    let lease: u64 = row.get(4)?;
    let value: Option<Vec<u8>> = row.get(5)?;
    Ok(KeyValue {
        key: Bytes::from(row.get::<_, Vec<u8>>(0)?),
        value: value.map(Bytes::from).unwrap_or_default(),
        create_revision: Revision(row.get(2)?),
        mod_revision: revision_of(row.get(1)?),
        version: row.get(3)?,
        lease: (lease != 0).then_some(LeaseId(lease)),
    })
}

/// A key as it is.
pub(super) fn head(conn: &Connection, key: &[u8]) -> Result<Option<KeyValue>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM head JOIN event ON event.seq = head.seq WHERE head.key = ?1"
    );
    conn.prepare_cached(&sql)
        .and_then(|mut select| select.query_row([key], key_value).optional())
        .map_err(|error| engine("read a key", error))
}

/// A key as it was.
pub(super) fn at(
    conn: &Connection,
    key: &[u8],
    revision: Revision,
) -> Result<Option<KeyValue>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE key = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1"
    );
    let found = conn
        .prepare_cached(&sql)
        .and_then(|mut select| {
            select.query_row((key, first_seq(revision.next())), key_value).optional()
        })
        .map_err(|error| engine("read a key of the past", error))?;
    Ok(found.filter(|kv| !kv.is_tombstone()))
}

/// Keys as they are. An open end is asked for in its own words: `NULL` would spoil the index.
pub(super) fn head_range(
    conn: &Connection,
    range: &KeyRange,
    page: &mut PageBuilder,
) -> Result<(), StoreError> {
    let below = if range.end.is_some() { "AND head.key < ?2" } else { "AND ?2 IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM head JOIN event ON event.seq = head.seq
         WHERE head.key >= ?1 {below} ORDER BY head.key"
    );
    let mut read = || {
        let mut select = conn.prepare_cached(&sql)?;
        let mut rows = select.query((&range.start[..], range.end.as_deref()))?;
        while let Some(row) = rows.next()? {
            if !page.push(key_value(row)?) {
                break;
            }
        }
        Ok(())
    };
    read().map_err(|error| engine("read a range", error))
}

/// Keys as they were: the index gives each key's newest event up to then, the table the rest.
pub(super) fn range_at(
    conn: &Connection,
    range: &KeyRange,
    revision: Revision,
    page: &mut PageBuilder,
) -> Result<(), StoreError> {
    let below = if range.end.is_some() { "AND key < ?2" } else { "AND ?2 IS NULL" };
    let sql = format!(
        "SELECT max(seq) FROM event INDEXED BY event_key
         WHERE key >= ?1 {below} AND seq < ?3 GROUP BY key ORDER BY key"
    );
    let event = format!("SELECT {COLUMNS} FROM event WHERE seq = ?1 AND value IS NOT NULL");
    let mut read = || {
        let mut select = conn.prepare_cached(&sql)?;
        let mut fetch = conn.prepare_cached(&event)?;
        let bounds = (&range.start[..], range.end.as_deref(), first_seq(revision.next()));
        let mut rows = select.query(bounds)?;
        while let Some(row) = rows.next()? {
            let found = fetch.query_row([row.get::<_, i64>(0)?], key_value).optional()?;
            if let Some(kv) = found
                && !page.push(kv)
            {
                break;
            }
        }
        Ok(())
    };
    read().map_err(|error| engine("read a range of the past", error))
}

/// The keys of a lease, in order.
pub(super) fn leased(conn: &Connection, lease: LeaseId) -> Result<Vec<KeyValue>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM head JOIN event ON event.seq = head.seq
         WHERE head.lease = ?1 AND head.lease <> 0 ORDER BY head.key"
    );
    conn.prepare_cached(&sql)
        .and_then(|mut select| select.query_map([lease.0], key_value)?.collect())
        .map_err(|error| engine("read the keys of a lease", error))
}

/// The past of a range for a watch.
pub(super) fn replay(
    conn: &mut Connection,
    range: &KeyRange,
    from: Revision,
    to: Revision,
) -> Result<Replay, StoreError> {
    let txn = conn.transaction().map_err(|error| engine("begin to replay", error))?;
    let (_, compacted) = stand(&txn)?;
    if from < compacted {
        return Err(gone(compacted));
    }
    // The plus keeps SQLite from the index on keys: order by number is worth more.
    let below = if range.end.is_some() { "AND +key < ?2" } else { "AND ?2 IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE +key >= ?1 {below} AND seq >= ?3 AND seq < ?4
         ORDER BY seq"
    );
    let failed = |error| engine("replay events", error);
    let mut select = txn.prepare_cached(&sql).map_err(failed)?;
    let end = range.end.as_deref();
    let bounds = (&range.start[..], end, first_seq(from), first_seq(to.next()));
    let mut rows = select.query(bounds).map_err(failed)?;
    let mut page = ReplayPage::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let kv = key_value(row).map_err(failed)?;
        let revision = kv.mod_revision;
        // What came before the compacted revision is gone, whether or not a trace of it is left.
        let prev =
            if revision > compacted { at(&txn, &kv.key, Revision(revision.0 - 1))? } else { None };
        if !page.push(Event::new(kv, prev)) {
            return page.finish(Some(revision), to);
        }
    }
    page.finish(None, to)
}

/// Where the store stands.
pub(super) fn status(conn: &mut Connection) -> Result<Status, StoreError> {
    let failed = |error| engine("read the store's status", error);
    let txn = conn.transaction().map_err(failed)?;
    let (revision, compacted) = stand(&txn)?;
    let identity: String =
        txn.query_row("SELECT identity FROM meta", [], |row| row.get(0)).map_err(failed)?;
    let pragma = |name| txn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let page = pragma("page_size").map_err(failed)?;
    let pages = pragma("page_count").map_err(failed)?;
    let free = pragma("freelist_count").map_err(failed)?;
    Ok(Status {
        revision,
        compacted,
        db_bytes: pages * page,
        db_used_bytes: pages.saturating_sub(free) * page,
        identity: identity
            .parse::<Identity>()
            .map_err(|cause| super::failure::internal("read the store's identity", cause))?,
        backend: "sqlite",
    })
}
