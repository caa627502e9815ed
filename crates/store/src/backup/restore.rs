//! Reading a backup: once through to verify everything, then again to write it.
//!
//! A restore is many transactions. The first puts a marker into the empty store, each further one
//! compares it and the last removes it, so two restores cannot mix and one that was cut off is seen
//! ([`unfinished`]) and done over by the next.

use std::io::SeekFrom;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncSeek, AsyncSeekExt};

use super::format::{Entry, FORMAT, Header, MAX_LINE_BYTES, Summary, Trailer, VERSION};
use crate::limits::{MAX_REQUEST_BYTES, MAX_TXN_OPS, REQUEST_OVERHEAD, check_key};
use crate::{Compare, Identity, KeyRange, Op, Store, StoreError, Txn};

/// The key that says a restore is under way.
pub(super) const MARKER: &[u8] = b"freehold-restore/unfinished";

/// Bytes of one restoring transaction: half of what is allowed, unless one value is larger.
const PART_BYTES: usize = MAX_REQUEST_BYTES / 2;

/// Why nothing, or not all, was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The file is not a backup at all. Nothing was written.
    #[error("restore a backup: the file is not one")]
    Foreign,
    /// The backup is of a later format. Nothing was written.
    #[error("restore a backup: its format is {found}, this version knows up to {known}")]
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
    /// The backup is cut off. Nothing was written.
    #[error("restore a backup: it ends early, after line {line}")]
    Truncated {
        /// Its last line.
        line: u64,
    },
    /// The backup is damaged. Nothing was written, unless the file changed while it was read.
    #[error("restore a backup: line {line} {what}")]
    Damaged {
        /// Where.
        line: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The backup could not be read.
    #[error("read the backup")]
    Read(#[source] std::io::Error),
    /// The store holds something. Nothing was written.
    #[error("restore a backup: the store is not empty")]
    NotEmpty,
    /// Another restore into the same store came between.
    #[error("restore a backup: another restore into the same store is under way")]
    Overtaken,
    /// The store failed; restore again into the same store.
    #[error("write to the store being restored")]
    Store(#[source] StoreError),
}

/// Whether a restore into this store was begun and not brought to its end: it holds a part only.
///
/// # Errors
/// As [`Store::get`].
pub async fn unfinished(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.get(MARKER, None).await?.kv.is_some())
}

/// Reads a backup to its end and says what it holds, if it is whole.
///
/// # Errors
/// [`RestoreError`] but for those of stores.
pub async fn verify<R: AsyncBufRead + Unpin>(input: R) -> Result<Summary, RestoreError> {
    let mut lines = Lines::open(input).await?;
    while lines.next().await?.is_some() {}
    Ok(lines.summary())
}

/// Reads a backup to its end and gives the keys and values under some prefixes, if it is whole.
///
/// # Errors
/// As [`verify`].
pub async fn select<R: AsyncBufRead + Unpin>(
    input: R,
    prefixes: &[&str],
) -> Result<Vec<(Bytes, Bytes)>, RestoreError> {
    let mut lines = Lines::open(input).await?;
    let mut found = Vec::new();
    while let Some((key, value)) = lines.next().await? {
        if prefixes.iter().any(|prefix| key.starts_with(prefix.as_bytes())) {
            found.push((key.into(), value.into()));
        }
    }
    Ok(found)
}

/// Restores a backup into an empty store, or one in which a restore was cut off, and gives the
/// store a new identity. The backup is verified to its end before the first write.
///
/// # Errors
/// [`RestoreError`]
pub async fn restore<R: AsyncBufRead + AsyncSeek + Unpin + Send>(
    mut input: R,
    store: &dyn Store,
) -> Result<Summary, RestoreError> {
    let start = input.stream_position().await.map_err(RestoreError::Read)?;
    let whole = verify(&mut input).await?;
    input.seek(SeekFrom::Start(start)).await.map_err(RestoreError::Read)?;
    let token = Bytes::from(Identity::fresh().to_string());
    claim(store, &token).await?;

    let ours = Compare::value(MARKER, token);
    let mut lines = Lines::open(input).await?;
    let (mut part, mut bytes) = (Vec::new(), 0);
    while let Some((key, value)) = lines.next().await? {
        let size = key.len() + value.len() + REQUEST_OVERHEAD;
        if part.len() == MAX_TXN_OPS || (bytes + size > PART_BYTES && !part.is_empty()) {
            write(store, &ours, std::mem::take(&mut part)).await?;
            bytes = 0;
        }
        bytes += size;
        part.push(Op::put(key, value));
    }
    write(store, &ours, part).await?;
    if lines.summary() != whole {
        return Err(RestoreError::Damaged { line: lines.line, what: "changed while it was read" });
    }
    store.renew_identity().await.map_err(RestoreError::Store)?;
    write(store, &ours, vec![Op::delete(MARKER)]).await?;
    Ok(whole)
}

async fn write(store: &dyn Store, ours: &Compare, ops: Vec<Op>) -> Result<(), RestoreError> {
    let txn = Txn::of(ops).when(ours.clone());
    let answer = store.txn(txn).await.map_err(RestoreError::Store)?;
    if answer.succeeded { Ok(()) } else { Err(RestoreError::Overtaken) }
}

/// Puts our marker into the store if it is empty, or empties it first if a restore was cut off.
async fn claim(store: &dyn Store, token: &Bytes) -> Result<(), RestoreError> {
    let marker = store.get(MARKER, None).await.map_err(RestoreError::Store)?;
    let seen = marker.kv.map(|kv| kv.mod_revision);
    let found = store.range(&KeyRange::all(), 1, None).await.map_err(RestoreError::Store)?;
    if seen.is_none() && !found.kvs.is_empty() {
        return Err(RestoreError::NotEmpty);
    }
    let ours = Compare::unchanged_since(MARKER, seen.unwrap_or_default());
    write(store, &ours, vec![Op::put(MARKER, token.clone())]).await?;
    let ours = Compare::value(MARKER, token.clone());
    loop {
        let page = store.range(&KeyRange::all(), MAX_TXN_OPS, None).await;
        let page = page.map_err(RestoreError::Store)?;
        let left = page.kvs.into_iter().map(|kv| kv.key).filter(|key| key != MARKER);
        let left: Vec<Op> = left.map(Op::delete).collect();
        if left.is_empty() {
            return Ok(());
        }
        if seen.is_none() {
            // Somebody wrote between our look and our marker.
            write(store, &ours, vec![Op::delete(MARKER)]).await?;
            return Err(RestoreError::NotEmpty);
        }
        write(store, &ours, left).await?;
    }
}

/// Reads and checks line by line. What it gives out is only known to be whole at its end.
struct Lines<R> {
    input: R,
    hash: Sha256,
    line: u64,
    keys: u64,
    last_key: Vec<u8>,
    header: Header,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    async fn open(mut input: R) -> Result<Self, RestoreError> {
        let first = read_line(&mut input, 0).await.map_err(|error| match error {
            RestoreError::Damaged { .. } => RestoreError::Foreign,
            other => other,
        })?;
        // The version is looked at first: later headers may look different.
        let value: serde_json::Value =
            serde_json::from_slice(&first).map_err(|_| RestoreError::Foreign)?;
        if value["format"] != FORMAT {
            return Err(RestoreError::Foreign);
        }
        let found = value["version"].as_u64().and_then(|found| u32::try_from(found).ok());
        match found {
            Some(VERSION) => {}
            Some(found) if found > VERSION => {
                return Err(RestoreError::NewerFormat { found, known: VERSION });
            }
            _ => return Err(RestoreError::Foreign),
        }
        let damaged = |_| RestoreError::Damaged { line: 1, what: "is not a header" };
        let header = serde_json::from_value(value).map_err(damaged)?;
        let hash = Sha256::new_with_prefix(&first);
        Ok(Self { input, hash, line: 1, keys: 0, last_key: Vec::new(), header })
    }

    /// The next key, or none behind a last line that agrees with all that was read.
    async fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, RestoreError> {
        let text = read_line(&mut self.input, self.line).await?;
        self.line += 1;
        let damaged = |what| RestoreError::Damaged { line: self.line, what };
        if let Ok(trailer) = serde_json::from_slice::<Trailer>(&text) {
            self.check_end(&trailer).await?;
            return Ok(None);
        }
        let entry = serde_json::from_slice::<Entry>(&text).ok().and_then(|entry| entry.decode());
        let (key, value) = entry.ok_or_else(|| damaged("is not a key and its value"))?;
        if check_key(&key).is_err()
            || key.len() + value.len() + 4 * REQUEST_OVERHEAD > MAX_REQUEST_BYTES
        {
            return Err(damaged("holds more than a store takes"));
        }
        if key <= self.last_key || key == MARKER {
            return Err(damaged("holds a key that cannot be there"));
        }
        self.hash.update(&text);
        self.keys += 1;
        self.last_key.clone_from(&key);
        Ok(Some((key, value)))
    }

    async fn check_end(&mut self, trailer: &Trailer) -> Result<(), RestoreError> {
        let line = self.line;
        let sha256 = data_encoding::HEXLOWER.encode(&self.hash.clone().finalize());
        if sha256 != trailer.sha256 || trailer.keys != self.keys {
            return Err(RestoreError::Damaged { line, what: "does not agree with those before" });
        }
        let behind = self.input.fill_buf().await.map_err(RestoreError::Read)?;
        if !behind.is_empty() {
            return Err(RestoreError::Damaged { line, what: "should be the last" });
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        let Header { identity, revision, .. } = self.header;
        Summary { identity, revision, keys: self.keys }
    }
}

/// A line with its end, of bounded length. `line` is how many were read before it.
async fn read_line<R: AsyncBufRead + Unpin>(
    input: &mut R,
    line: u64,
) -> Result<Vec<u8>, RestoreError> {
    let mut text = Vec::new();
    let mut bounded = input.take(MAX_LINE_BYTES as u64);
    bounded.read_until(b'\n', &mut text).await.map_err(RestoreError::Read)?;
    if text.last() == Some(&b'\n') {
        return Ok(text);
    }
    if text.len() == MAX_LINE_BYTES {
        return Err(RestoreError::Damaged { line: line + 1, what: "is too long" });
    }
    Err(if line == 0 { RestoreError::Foreign } else { RestoreError::Truncated { line } })
}
