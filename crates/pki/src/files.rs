//! Files that hold keys and certificates: written whole or not at all, private ones readable by
//! their owner alone. Must not know what the bytes mean.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::random;

/// Mode of files with private content: keys, tokens.
pub const PRIVATE_MODE: u32 = 0o600;

/// Mode of files with public content: certificates.
pub const PUBLIC_MODE: u32 = 0o644;

/// The most that is read from one file: a bundle of 200 certificates of 2 KiB is 400 KiB.
const MAX_FILE_BYTES: u64 = 512 * 1024;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be opened or read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file could not be written; the old content, if any, is still whole.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A private file can be read by others than its owner.
    #[error("use {path}: mode {mode:03o} lets others read it, it must be 600")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than any key or certificate file.
    #[error("read {path}: larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// Whether the cause is that the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Writes `bytes` to `path` so that a reader, or a machine that loses power, sees the old content
/// or the new one, never a part. The file has `mode` from its first byte on.
///
/// # Errors
/// [`FileError::Write`]; what was at `path` before is untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(parent_of(path))?.sync_all());
    if written.is_err() {
        // The rename may have happened already; then there is nothing to remove.
        drop(fs::remove_file(&temporary));
    }
    written.map_err(failed)
}

/// Reads a file with public content.
pub(crate) fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    read_bounded(path, file, &mut bytes)?;
    Ok(bytes)
}

/// Reads a file with private content and wipes it from memory when dropped.
///
/// # Errors
/// [`FileError::TooOpen`] when group or others have any access to it, else as for any file.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (file, metadata) = open(path)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooOpen { path: path.to_owned(), mode });
    }
    // Sized first: a vector that grows leaves copies of its content behind.
    let size = usize::try_from(metadata.len().min(MAX_FILE_BYTES)).expect("512 KiB fits a usize");
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    read_bounded(path, file, &mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path) -> Result<(File, fs::Metadata), FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    Ok((file, metadata))
}

fn read_bounded(path: &Path, file: File, into: &mut Vec<u8>) -> Result<(), FileError> {
    let read = file
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(into)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken bits away that the caller asked for.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.new", u64::from_le_bytes(random::bytes())));
    path.with_file_name(name)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
