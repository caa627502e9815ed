//! Writing a backup, page by page.

use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::format::{BackupError, Entry, FORMAT, Header, Summary, Trailer, VERSION};
use crate::{KeyRange, Store};

/// Writes all of a store, as it is at one revision, to `output` and flushes it. One page of keys is
/// held in memory at a time.
///
/// # Errors
/// [`BackupError`]; what has been written then is refused by a restore.
pub async fn backup(
    store: &dyn Store,
    output: &mut (dyn AsyncWrite + Unpin + Send),
) -> Result<Summary, BackupError> {
    let identity = store.status().await.map_err(BackupError::Store)?.identity;
    if super::unfinished(store).await.map_err(BackupError::Store)? {
        return Err(BackupError::Unfinished);
    }
    let mut range = KeyRange::all();
    let mut page = store.range(&range, 0, None).await.map_err(BackupError::Store)?;
    let revision = page.revision;
    let mut out = Lines { output, hash: Sha256::new() };
    out.write(&Header { format: FORMAT.to_owned(), version: VERSION, identity, revision }).await?;
    let mut keys = 0;
    loop {
        for kv in page.kvs.iter().filter(|kv| kv.lease.is_none()) {
            out.write(&Entry::new(&kv.key, &kv.value)).await?;
            keys += 1;
        }
        match page.kvs.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => break,
        }
        page = store.range(&range, 0, Some(revision)).await.map_err(BackupError::Store)?;
    }
    let sha256 = data_encoding::HEXLOWER.encode(&out.hash.clone().finalize());
    out.write(&Trailer { keys, sha256 }).await?;
    out.output.flush().await.map_err(BackupError::Write)?;
    Ok(Summary { identity, revision, keys })
}

struct Lines<'a> {
    output: &'a mut (dyn AsyncWrite + Unpin + Send),
    hash: Sha256,
}

impl Lines<'_> {
    async fn write(&mut self, line: &(impl serde::Serialize + Sync)) -> Result<(), BackupError> {
        let mut text =
            serde_json::to_vec(line).map_err(|error| BackupError::Write(error.into()))?;
        text.push(b'\n');
        self.hash.update(&text);
        self.output.write_all(&text).await.map_err(BackupError::Write)
    }
}
