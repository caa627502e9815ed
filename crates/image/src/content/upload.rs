//! Uploads that can be resumed.
//!
//! An upload is a file; its length is its offset, so nothing else needs to be kept in step with
//! it. One handle writes at a time (the file is locked). Bytes are hashed as they come; a handle
//! that continues somebody else's bytes hashes them once, when finishing.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::content::store::copy;
use crate::content::{BlobInfo, ContentError, ContentStore};
use crate::digest::{Digest, HashReader, Hasher};

/// Names an upload; hard to guess, safe in a URL and as a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

/// The text names no upload this store could have started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading upload id: it is not a UUID")]
pub struct NotAnUploadId;

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Self(Uuid::try_parse(text).map_err(|_| NotAnUploadId)?);
        // One spelling per upload, so that what compares ids as text is right too.
        if id.to_string() == text { Ok(id) } else { Err(NotAnUploadId) }
    }
}

/// What is known of an upload without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// The upload's name.
    pub id: UploadId,
    /// How many bytes it has.
    pub offset: u64,
    /// When bytes last came.
    pub modified: SystemTime,
}

/// An upload that this handle alone may write.
///
/// Dropping the handle keeps the upload; [`ContentStore::resume_upload`] continues it, also after
/// the process was killed.
#[derive(Debug)]
pub struct Upload {
    store: ContentStore,
    id: UploadId,
    path: PathBuf,
    file: File,
    offset: u64,
    /// The state after `offset` bytes; `None` when this handle did not see the first ones.
    hasher: Option<Hasher>,
}

impl ContentStore {
    fn upload_path(&self, id: UploadId) -> PathBuf {
        self.root().join("uploads").join(id.to_string())
    }

    /// Starts an upload.
    ///
    /// # Errors
    /// [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn start_upload(&self) -> Result<Upload, ContentError> {
        let id = UploadId(Uuid::now_v7());
        let path = self.upload_path(id);
        let work = || -> io::Result<File> {
            let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            Ok(file)
        };
        let file = work().map_err(ContentError::io("starting an upload"))?;
        let hasher = Some(Hasher::new());
        Ok(Upload { store: self.clone(), id, path, file, offset: 0, hasher })
    }

    /// Continues an upload.
    ///
    /// # Errors
    /// [`ContentError::NoUpload`], [`ContentError::UploadBusy`], [`ContentError::Io`].
    pub fn resume_upload(&self, id: UploadId) -> Result<Upload, ContentError> {
        let doing = || format!("opening upload {id}");
        let path = self.upload_path(id);
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ContentError::NoUpload(id));
            }
            Err(e) => return Err(ContentError::io(doing())(e)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ContentError::UploadBusy(id)),
            Err(e) => return Err(ContentError::io(doing())(e.into())),
        }
        // It may have been finished or cancelled between opening and locking.
        if !path.exists() {
            return Err(ContentError::NoUpload(id));
        }
        let offset = file.seek(SeekFrom::End(0)).map_err(ContentError::io(doing()))?;
        let hasher = (offset == 0).then(Hasher::new);
        Ok(Upload { store: self.clone(), id, path, file, offset, hasher })
    }

    /// Every unfinished upload, in order of their start.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn uploads(&self) -> Result<Vec<UploadInfo>, ContentError> {
        let work = || -> io::Result<Vec<UploadInfo>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(self.root().join("uploads"))? {
                let entry = entry?;
                let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                match entry.metadata() {
                    Ok(meta) => {
                        let (offset, modified) = (meta.len(), meta.modified()?);
                        found.push(UploadInfo { id, offset, modified });
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            found.sort_by_key(|upload| upload.id);
            Ok(found)
        };
        work().map_err(ContentError::io("listing uploads"))
    }

    /// Cancels uploads that got no bytes for `idle` before `now`; gives their number. One that is
    /// being written is spared.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn expire_uploads(&self, now: SystemTime, idle: Duration) -> Result<usize, ContentError> {
        let mut cancelled = 0;
        for upload in self.uploads()? {
            if now.duration_since(upload.modified).is_ok_and(|age| age >= idle) {
                match self.resume_upload(upload.id) {
                    Ok(upload) => upload.cancel()?,
                    Err(ContentError::UploadBusy(_) | ContentError::NoUpload(_)) => continue,
                    Err(e) => return Err(e),
                }
                cancelled += 1;
            }
        }
        Ok(cancelled)
    }
}

impl Upload {
    /// The upload's name.
    #[must_use]
    pub fn id(&self) -> UploadId {
        self.id
    }

    /// How many bytes it has; the next byte goes here.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds all of `bytes`, or nothing of them.
    ///
    /// # Errors
    /// [`ContentError::DiskFull`] and [`ContentError::Io`]; the upload keeps what it had before.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        if let Err(e) = self.file.write_all(bytes) {
            let undo = self.file.set_len(self.offset);
            let undone = undo.and_then(|()| self.file.seek(SeekFrom::Start(self.offset)));
            if let Err(error) = undone {
                tracing::warn!(upload = %self.id, %error, "cutting a failed write off failed");
            }
            return Err(ContentError::io(format!("writing upload {}", self.id))(e));
        }
        self.offset += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// Makes the bytes so far survive a power failure; a killed process needs no such care.
    ///
    /// # Errors
    /// [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn sync(&self) -> Result<(), ContentError> {
        self.file.sync_data().map_err(ContentError::io(format!("syncing upload {}", self.id)))
    }

    /// Turns the upload into the blob `expected`.
    ///
    /// # Errors
    /// [`ContentError::Mismatch`]: the bytes are others, the upload is cancelled.
    /// [`ContentError::DiskFull`], [`ContentError::Io`]: the upload is kept.
    pub fn finish(mut self, expected: &Digest) -> Result<BlobInfo, ContentError> {
        let found = match self.hasher.take() {
            Some(hasher) => hasher.finish(),
            None => self.rehash()?,
        };
        if found != *expected {
            let mismatch =
                ContentError::Mismatch { expected: *expected, found, length: self.offset };
            self.cancel()?;
            return Err(mismatch);
        }
        self.store.place(&self.path, &self.file, found)
    }

    fn rehash(&mut self) -> Result<Digest, ContentError> {
        let work = |file: &mut File| -> io::Result<Digest> {
            file.seek(SeekFrom::Start(0))?;
            let mut reader = HashReader::new(file);
            copy(&mut reader, &mut io::sink())?;
            Ok(reader.finish().0)
        };
        work(&mut self.file).map_err(ContentError::io(format!("reading upload {} again", self.id)))
    }

    /// Forgets the upload and its bytes.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn cancel(self) -> Result<(), ContentError> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(ContentError::io(format!("cancelling upload {}", self.id))(e))
            }
            _ => Ok(()),
        }
    }
}
