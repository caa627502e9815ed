//! Backup and restore over the trait alone, so from any backend into any other.
//!
//! A backup is lines of JSON, read with any tool: a header, one line for each key, and a last line
//! with their count and the SHA-256 of everything before it. It is consistent at one revision. Keys
//! that go with a lease are left out: whoever holds the lease makes them anew. Revisions and
//! versions start afresh in the restored store, which is why its identity changes.

mod format;
mod restore;
mod transfer;
mod write;

pub use self::format::{BackupError, Summary};
pub use self::restore::{RestoreError, restore, select, unfinished, verify};
pub use self::transfer::{TransferError, transfer};
pub use self::write::backup;
