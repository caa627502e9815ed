//! Moving a store into another backend by a backup, and looking afterwards that all of it came.

use std::path::{Path, PathBuf};

use tokio::io::BufReader;

use super::format::{BackupError, Summary};
use super::restore::{RestoreError, restore};
use super::write::backup;
use crate::{KeyRange, KeyValue, Revision, Store, StoreError};

/// Why a store was not moved, or not all of it. The store moved from is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store moved from could not be read.
    #[error("read the store to be moved")]
    Read(#[source] BackupError),
    /// The store moved to could not be written; move again into the same one.
    #[error("write the store to move to")]
    Write(#[source] RestoreError),
    /// The file in between could not be written or read.
    #[error("keep what is moved in {}", path.display())]
    Scratch {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// One of the stores could not be read again to compare them.
    #[error("compare the stores")]
    Compare(#[source] StoreError),
    /// Somebody wrote to the store moved from; empty the other one and move again.
    #[error("move the store: it was written to meanwhile, at revision {at}")]
    Changed {
        /// Where it stood after.
        at: Revision,
    },
    /// The stores differ; somebody wrote to the new one.
    #[error("compare the stores: they differ at key {key:?}")]
    Differs {
        /// The first such key, unreadable bytes replaced.
        key: String,
    },
}

/// Moves everything into an empty store, by way of the file `scratch`, which must not exist and
/// holds all of it while this runs. Both stores are then read again and compared, key by key.
/// Nobody may write to either of them meanwhile.
///
/// # Errors
/// [`TransferError`]
pub async fn transfer(
    from: &dyn Store,
    to: &dyn Store,
    scratch: &Path,
) -> Result<Summary, TransferError> {
    let failed = |cause| TransferError::Scratch { path: scratch.to_owned(), cause };
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.read(true).write(true).create_new(true).mode(0o600).open(scratch).await;
    let mut file = opened.map_err(failed)?;
    let moved = async {
        backup(from, &mut file).await.map_err(TransferError::Read)?;
        tokio::io::AsyncSeekExt::rewind(&mut file).await.map_err(failed)?;
        let summary = restore(BufReader::new(file), to).await.map_err(TransferError::Write)?;
        compare(from, to).await?;
        let at = from.status().await.map_err(TransferError::Compare)?.revision;
        if at != summary.revision {
            return Err(TransferError::Changed { at });
        }
        Ok(summary)
    };
    let moved = moved.await;
    let removed = tokio::fs::remove_file(scratch).await.map_err(failed);
    moved.and_then(|summary| removed.map(|()| summary))
}

async fn compare(from: &dyn Store, to: &dyn Store) -> Result<(), TransferError> {
    let (mut old, mut new) = (Reader::new(from), Reader::new(to));
    loop {
        let (old, new) = (old.next().await?, new.next().await?);
        let differs = match (&old, &new) {
            (None, None) => return Ok(()),
            (Some(old), Some(new)) if old.key == new.key && old.value == new.value => continue,
            (Some(old), Some(new)) => old.key.clone().min(new.key.clone()),
            (Some(one), None) | (None, Some(one)) => one.key.clone(),
        };
        return Err(TransferError::Differs { key: String::from_utf8_lossy(&differs).into_owned() });
    }
}

/// The keys of a store that go with no lease, one after the other, at one revision.
struct Reader<'a> {
    store: &'a dyn Store,
    at: Option<Revision>,
    page: std::vec::IntoIter<KeyValue>,
    rest: Option<KeyRange>,
}

impl<'a> Reader<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self { store, at: None, page: Vec::new().into_iter(), rest: Some(KeyRange::all()) }
    }

    async fn next(&mut self) -> Result<Option<KeyValue>, TransferError> {
        loop {
            if let Some(kv) = self.page.find(|kv| kv.lease.is_none()) {
                return Ok(Some(kv));
            }
            let Some(range) = self.rest.take() else { return Ok(None) };
            let page = self.store.range(&range, 0, self.at).await;
            let page = page.map_err(TransferError::Compare)?;
            self.at = self.at.or(Some(page.revision));
            self.rest = page.kvs.last().filter(|_| page.more).map(|last| range.after(&last.key));
            self.page = page.kvs.into_iter();
        }
    }
}
