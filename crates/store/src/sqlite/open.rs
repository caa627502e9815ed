//! Opening a database: the lock, the schema, the checks, what has to be known before the first
//! request.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::SqliteOptions;
use super::failure::{engine, file};
use super::lock::OpenLock;
use crate::{Identity, LeaseId, Revision, StoreError};

/// `PRAGMA application_id` of our databases: "FhSt".
const APPLICATION_ID: i32 = 0x4668_5374;

/// `PRAGMA user_version` this version writes; higher ones are refused.
const FORMAT: u32 = 1;

/// SQLite's page size here: 4 KiB, that of disks and of the page cache.
const PAGE_BYTES: u64 = 4096;

/// Pages in the write-ahead log at which it is copied back: 4,000 × 4 KiB = 16 MiB.
const CHECKPOINT_PAGES: u32 = 4_000;

/// How far a revision's events are numbered: `seq = revision << 20 | index`.
///
/// * `event` holds every version of every key since the compaction; a null value is a deletion.
///   The index on its keys ends, like every SQLite index, in the row's number: the versions of a
///   key lie in order.
/// * `head` says which of them is a living key's newest.
const SCHEMA: &str = "
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL,
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL,
    swept INTEGER NOT NULL,
    last_lease INTEGER NOT NULL
);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB
);
CREATE INDEX event_key ON event (key);
CREATE TABLE head (
    key BLOB PRIMARY KEY,
    seq INTEGER NOT NULL,
    lease INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX head_lease ON head (lease) WHERE lease <> 0;
CREATE TABLE lease (
    id INTEGER PRIMARY KEY,
    ttl_ms INTEGER NOT NULL,
    left_ms INTEGER NOT NULL
);
";

/// What the writer carries from one transaction to the next; its copy on disk is `meta`.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    /// The compaction up to which superseded versions have really been removed.
    pub(super) swept: Revision,
    pub(super) last_lease: u64,
}

/// A lease found on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptLease {
    pub(super) id: LeaseId,
    pub(super) ttl: Duration,
    pub(super) left: Duration,
}

/// A database ready for its writer.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) lock: OpenLock,
    pub(super) conn: Connection,
    pub(super) state: State,
    pub(super) leases: Vec<KeptLease>,
    /// The quota.
    pub(super) max_pages: u64,
}

pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Opened, StoreError> {
    let lock = OpenLock::take(path)?;
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)
        .map_err(|error| name_place(engine("open the database", error), path))?;
    prepare(&mut conn, path).map_err(|error| name_place(error, path))?;
    let state = load_state(&conn, path).map_err(|error| name_place(error, path))?;
    let leases = load_leases(&conn).map_err(|error| name_place(error, path))?;
    let max_pages = (options.max_bytes / PAGE_BYTES).clamp(64, u64::from(u32::MAX / 2));
    Ok(Opened { lock, conn, state, leases, max_pages })
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(Duration::from_secs(5))?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(conn)
    };
    open().map_err(|error| name_place(engine("open the database for reading", error), path))
}

/// The whole check: structure, indexes against tables, and our own rules.
pub(super) fn verify(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    check_sqlite(conn, path, "integrity_check")?;
    check_rules(conn, path)
}

/// Makes the file for its owner alone before SQLite sees it; log and index inherit that.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| file("open the database", path, error))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    created
        .sync_all()
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|error| file("make durable the database", path, error))
}

fn prepare(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| engine("prepare the database", error);
    conn.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(32);
    check_format(conn, path)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    let mode: String = conn
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let what = format!("the file system does not allow a write-ahead log ({mode})");
        return Err(StoreError::Unavailable { what, cause: None });
    }
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    conn.pragma_update(None, "cache_size", -16_384).map_err(failed)?;
    create_schema(conn)?;
    check_sqlite(conn, path, "quick_check")?;
    check_rules(conn, path)
}

/// Refuses what is not ours, before anything in it is touched.
fn check_format(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| engine("read the database's format", error);
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let application = pragma("application_id").map_err(failed)?;
    let found = pragma("user_version").map_err(failed)?;
    if tables == 0 && application == 0 {
        return Ok(());
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(corrupt(path, "it is a SQLite database of some other program"));
    }
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > FORMAT {
        let place = path.display().to_string();
        return Err(StoreError::NewerFormat { place, found, known: FORMAT });
    }
    Ok(())
}

fn create_schema(conn: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| engine("make the database's tables", error);
    let txn = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let made: i64 = txn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get(0))
        .map_err(failed)?;
    if made == 0 {
        let create = || {
            txn.execute_batch(SCHEMA)?;
            txn.execute(
                "INSERT INTO meta VALUES (1, ?1, ?2, 0, 0, 0)",
                (Identity::fresh().to_string(), Revision::FIRST.0),
            )?;
            txn.pragma_update(None, "application_id", APPLICATION_ID)?;
            txn.pragma_update(None, "user_version", FORMAT)
        };
        create().map_err(failed)?;
    }
    txn.commit().map_err(failed)
}

fn check_sqlite(conn: &Connection, path: &Path, check: &str) -> Result<(), StoreError> {
    let found: String = conn
        .pragma_query_value(None, check, |row| row.get(0))
        .map_err(|error| name_place(engine("check the database", error), path))?;
    if found == "ok" { Ok(()) } else { Err(corrupt(path, &found)) }
}

/// What SQLite cannot know: the tables agree with each other and with `meta`.
fn check_rules(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    const RULES: [(&str, &str); 4] = [
        ("it has no description of itself", "SELECT count(*) <> 1 FROM meta"),
        (
            "it holds events after its revision",
            "SELECT ifnull((SELECT max(seq) >> 20 FROM event), 0) > (SELECT revision FROM meta)",
        ),
        (
            "a key's newest value is missing",
            "SELECT EXISTS (SELECT 1 FROM head WHERE NOT EXISTS
                (SELECT 1 FROM event WHERE event.seq = head.seq))",
        ),
        (
            "it was compacted past its revision",
            "SELECT EXISTS (SELECT 1 FROM meta WHERE compacted > revision OR swept > compacted)",
        ),
    ];
    for (broken, rule) in RULES {
        let bad: bool = conn
            .query_row(rule, [], |row| row.get(0))
            .map_err(|error| engine("check the database's rules", error))?;
        if bad {
            return Err(corrupt(path, broken));
        }
    }
    Ok(())
}

fn load_state(conn: &Connection, path: &Path) -> Result<State, StoreError> {
    let sql = "SELECT identity, revision, compacted, swept, last_lease FROM meta";
    let (identity, revision, compacted, swept, last_lease): (String, u64, u64, u64, u64) = conn
        .query_row(sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .map_err(|error| engine("read the database's state", error))?;
    let identity = identity.parse().map_err(|_| corrupt(path, "its identity is unreadable"))?;
    let (revision, compacted, swept) = (Revision(revision), Revision(compacted), Revision(swept));
    Ok(State { identity, revision, compacted, swept, last_lease })
}

fn load_leases(conn: &Connection) -> Result<Vec<KeptLease>, StoreError> {
    let read = || {
        let mut select = conn.prepare("SELECT id, ttl_ms, left_ms FROM lease ORDER BY id")?;
        let rows = select.query_map([], |row| {
            Ok(KeptLease {
                id: LeaseId(row.get(0)?),
                ttl: Duration::from_millis(row.get(1)?),
                left: Duration::from_millis(row.get(2)?),
            })
        })?;
        rows.collect::<Result<Vec<_>, _>>()
    };
    read().map_err(|error| engine("read the leases", error))
}

fn corrupt(path: &Path, what: &str) -> StoreError {
    let place = path.display().to_string();
    StoreError::Corrupt { place, what: what.to_owned(), cause: None }
}

/// Puts the database's path where an error only says "database".
fn name_place(mut error: StoreError, path: &Path) -> StoreError {
    match &mut error {
        StoreError::Corrupt { place, .. } | StoreError::DiskFull { place, .. } => {
            *place = path.display().to_string();
        }
        StoreError::Unavailable { what, .. } if !what.contains('/') => {
            *what = format!("{what} {}", path.display());
        }
        _ => {}
    }
    error
}
