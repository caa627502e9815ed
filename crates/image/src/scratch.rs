//! Temporary files and directories that outlive nobody.
//!
//! Whatever is being written sits in one scratch directory, each entry locked by who writes it. A
//! lock ends with its process, however that ends, so opening the area can tell a killed writer's
//! leftovers from another process's work and removes only the former. Nothing here knows blobs or
//! layers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

/// The name of the lock that orders making an entry against sweeping.
const LOCK: &str = ".lock";

/// A directory for unfinished work.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Opens the area at `dir`, making it if need be, and removes what dead writers left.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let area = Self { dir };
        area.sweep()?;
        Ok(area)
    }

    fn lock(&self) -> io::Result<File> {
        let path = self.dir.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(lock),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Removes every entry whose writer is gone.
    fn sweep(&self) -> io::Result<()> {
        let _ordered = self.lock()?;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            let path = entry.path();
            let alive = match File::open(&path) {
                Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_err(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if !alive {
                tracing::debug!(path = %path.display(), "removing a dead writer's work");
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// A new empty file, open for reading and writing.
    pub(crate) fn file(&self) -> io::Result<(Leftover, File)> {
        let _ordered = self.lock()?;
        let path = self.fresh();
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
        let made = Leftover { path: Some(path), _lock: None };
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok((made, file))
    }

    /// A new empty directory.
    pub(crate) fn directory(&self) -> io::Result<Leftover> {
        let _ordered = self.lock()?;
        let path = self.fresh();
        fs::create_dir(&path)?;
        let mut made = Leftover { path: Some(path.clone()), _lock: None };
        let lock = File::open(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        made._lock = Some(lock);
        Ok(made)
    }

    /// Moves `path` here and removes it: gone from its place at once, from the disk after.
    pub(crate) fn discard(&self, path: &Path) -> io::Result<bool> {
        let grave = self.fresh();
        match fs::rename(path, &grave) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
        remove(&grave)?;
        Ok(true)
    }

    fn fresh(&self) -> PathBuf {
        self.dir.join(Uuid::now_v7().simple().to_string())
    }
}

/// An entry that is removed when dropped, unless [`Leftover::keep`] was called.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: Option<PathBuf>,
    _lock: Option<File>,
}

impl Leftover {
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().expect("the path is taken only by keep, which consumes the entry")
    }

    /// Called after the entry was renamed to its final place.
    pub(crate) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = remove(&path)
        {
            tracing::warn!(path = %path.display(), %error, "removing unfinished work failed");
        }
    }
}

/// Removes a file or tree; its absence, and another remover at the same time, are fine.
fn remove(path: &Path) -> io::Result<()> {
    let is_dir = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_dir(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes a rename inside `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether the error says that the disk, the quota or the file size limit is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_entries_survive_a_second_open_and_dead_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let area = Scratch::open(dir.path().into()).unwrap();
        let live = area.directory().unwrap();
        let (live_file, _file) = area.file().unwrap();
        fs::create_dir_all(dir.path().join("dead/deep")).unwrap();
        fs::write(dir.path().join("dead/deep/file"), b"x").unwrap();
        Scratch::open(dir.path().into()).unwrap();
        assert!(live.path().exists() && live_file.path().exists());
        assert!(!dir.path().join("dead").exists());
        let gone = live.path().to_owned();
        drop(live);
        assert!(!gone.exists());
    }
}
