//! What SQLite's errors mean to a caller of the store.

use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::StoreError;

/// Reads an error met while doing `what`.
pub(super) fn engine(what: &'static str, error: rusqlite::Error) -> StoreError {
    let what_text = what.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            StoreError::DiskFull { place: "database".to_owned(), cause: Some(Arc::new(error)) }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
            place: "database".to_owned(),
            what: format!("found damage when it was to {what}"),
            cause: Some(Arc::new(error)),
        },
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable { what: what_text, cause: Some(Arc::new(error)) },
        _ => StoreError::Internal { what: what_text, cause: Some(Arc::new(error)) },
    }
}

/// Something that should not happen.
pub(super) fn internal(
    what: &str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Internal { what: what.to_owned(), cause: Some(Arc::new(cause)) }
}

/// The file system does not let us use the database.
pub(super) fn file(what: &str, path: &Path, cause: std::io::Error) -> StoreError {
    let what = format!("{what} {}", path.display());
    if cause.kind() == std::io::ErrorKind::StorageFull {
        return StoreError::DiskFull { place: what, cause: Some(Arc::new(cause)) };
    }
    StoreError::Unavailable { what, cause: Some(Arc::new(cause)) }
}
