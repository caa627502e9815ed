//! Opening the database: settings, schema, format.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::oci::RegistryError;

/// `PRAGMA application_id` of our databases: "FhRg".
const APPLICATION_ID: i32 = 0x4668_5267;

/// `PRAGMA user_version` this version writes; higher ones are refused.
const FORMAT: i32 = 1;

/// Statements kept compiled per connection; there are about forty.
const STATEMENTS: usize = 64;

/// Times are milliseconds since 1970, digests their 32 bytes.
///
/// * `blob` says which blob is seen in which repository; `touched` is when somebody last had
///   reason to believe that it will stay a while.
/// * `part` is what a manifest is made of. An index' entries may be absent.
/// * `upload` says which repository an unfinished upload belongs to.
const SCHEMA: &str = "
CREATE TABLE repository (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blob (
    repository INTEGER NOT NULL,
    digest BLOB NOT NULL,
    touched INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX blob_digest ON blob (digest);
CREATE TABLE manifest (
    repository INTEGER NOT NULL,
    digest BLOB NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    size INTEGER NOT NULL,
    subject BLOB,
    annotations TEXT,
    pushed INTEGER NOT NULL,
    pusher TEXT NOT NULL,
    UNIQUE (repository, digest)
);
CREATE INDEX manifest_digest ON manifest (digest);
CREATE INDEX manifest_subject ON manifest (repository, subject, digest) WHERE subject IS NOT NULL;
CREATE TABLE part (
    repository INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (repository, manifest, digest)
) WITHOUT ROWID;
CREATE INDEX part_digest ON part (repository, digest);
CREATE TABLE tag (
    repository INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    pushed INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tag_digest ON tag (repository, digest);
CREATE TABLE upload (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    started INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The connection that writes. A commit is on disk when it returns (`FULL`).
pub(super) fn writer(path: &Path) -> Result<Connection, RegistryError> {
    let open = || -> Result<Connection, rusqlite::Error> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let format: i32 = transaction.pragma_query_value(None, "user_version", |r| r.get(0))?;
        if format == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        transaction.commit()?;
        Ok(connection)
    };
    let connection =
        open().map_err(|source| RegistryError::Database { doing: "opening", source })?;
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(|source| RegistryError::Database { doing: "reading the format", source })
    };
    let (id, format) = (pragma("application_id")?, pragma("user_version")?);
    if id != APPLICATION_ID || format != FORMAT {
        return Err(RegistryError::Open {
            path: path.display().to_string(),
            why: format!("its format is {format} of application {id:#x}, we know {FORMAT}"),
            source: None,
        });
    }
    Ok(connection)
}

/// A connection that reads.
pub(super) fn reader(path: &Path) -> Result<Connection, RegistryError> {
    let open = || -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|source| RegistryError::Database { doing: "opening to read", source })
}
