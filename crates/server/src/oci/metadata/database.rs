//! The database's connections: one that writes, some that read, and what every statement needs.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::Digest;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::open;
use crate::oci::{NameError, RegistryError, RepositoryName};

/// Idle connections kept for readers; more are opened when needed and closed after.
const IDLE_READERS: usize = 8;

/// The database.
pub(in crate::oci) struct Metadata {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Metadata {
    /// Opens or makes the database.
    pub(in crate::oci) fn open(path: &Path) -> Result<Self, RegistryError> {
        let writer = open::writer(path)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// Reads; everything inside is of one moment.
    pub(in crate::oci) fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let idle = self.readers.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        let result = connection.transaction().map_err(Into::into).and_then(|t| work(&t));
        let mut readers = self.readers.lock();
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        result.map_err(|error| name(error, doing))
    }

    /// Changes; all of it durably, or, when `work` fails, nothing.
    pub(in crate::oci) fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut connection = self.writer.lock();
        let result = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(RegistryError::from)
            .and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            });
        result.map_err(|error| name(error, doing))
    }
}

/// Says what was being done.
fn name(error: RegistryError, doing: &'static str) -> RegistryError {
    match error {
        RegistryError::Database { source, .. } => RegistryError::Database { doing, source },
        other => other,
    }
}

/// A repository's row, if anything was ever pushed to it.
pub(super) fn repository_id(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
) -> Result<Option<i64>, RegistryError> {
    let mut query = transaction.prepare_cached("SELECT id FROM repository WHERE name = ?1")?;
    Ok(query.query_row([repository.as_str()], |row| row.get(0)).optional()?)
}

/// A repository's row, made if need be.
pub(super) fn ensure_repository(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
) -> Result<i64, RegistryError> {
    if let Some(id) = repository_id(transaction, repository)? {
        return Ok(id);
    }
    transaction.execute("INSERT INTO repository (name) VALUES (?1)", [repository.as_str()])?;
    Ok(transaction.last_insert_rowid())
}

pub(super) fn digest_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}

pub(super) fn name_at(row: &Row<'_>, column: usize) -> rusqlite::Result<RepositoryName> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: NameError| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

/// Milliseconds since 1970; times before count as 1970.
pub(in crate::oci) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time that [`millis`] gave.
pub(in crate::oci) fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
