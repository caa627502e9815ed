//! One opener of a database at a time: a locked file beside it, which the kernel lets go with the
//! process however that ends. SQLite's own locks cannot do this, since our readers share them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::failure::file;
use crate::StoreError;

/// Held as long as the database is open.
#[derive(Debug)]
pub(super) struct OpenLock {
    _file: File,
}

impl OpenLock {
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| file("open the lock file", &path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut lock);
                return Err(StoreError::AlreadyOpen { path: database.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(file("lock", &path, error)),
        }
        // Who holds it is only told to whoever is refused: a full disk must not keep us out.
        let told = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        if let Err(error) = told {
            tracing::debug!(%error, "write the process id into the lock file");
        }
        Ok(Self { _file: lock })
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text).map(|_| text.trim().parse::<u32>()) {
        Ok(Ok(pid)) if pid == std::process::id() => "this process".to_owned(),
        Ok(Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
