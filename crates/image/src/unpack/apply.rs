//! One archive onto one empty directory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::{Archive, ArchiveError, Entry, Kind};
use crate::unpack::tree::{LayerPath, Tree};
use crate::unpack::{EntryError, Limits, Whiteouts};

/// Bytes of a file copied at once.
const COPY_BYTES: usize = 128 * 1024;

/// The start of a whiteout's name (OCI image specification, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Names that aufs kept for itself; all but the next one mean nothing.
const AUFS: &[u8] = b".wh..wh.";
/// The name that hides all that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What was in a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of all files, holes included.
    pub file_bytes: u64,
    /// Whiteouts and opaque directories.
    pub whiteouts: u64,
    /// Devices, which are not made: containers get theirs from the runtime.
    pub devices_skipped: u64,
    /// Extended attributes that a layer may not set.
    pub xattrs_dropped: u64,
    /// Directories without an entry of their own. They are root's with mode 755, also where a
    /// lower layer has it otherwise.
    pub implicit_directories: u64,
}

/// What stopped an archive.
pub(crate) enum Fault {
    Archive(ArchiveError),
    Entry { entry: Vec<u8>, error: EntryError },
    Limit { limit: u64, what: &'static str },
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// Unpacks `archive` into the empty directory `root`.
pub(crate) fn apply<R: Read>(
    archive: &mut Archive<R>,
    root: &Path,
    whiteouts: Whiteouts,
    limits: &Limits,
) -> Result<Unpacked, Fault> {
    let at_root = |error| Fault::Entry { entry: b"/".to_vec(), error };
    let mut tree = Tree::open(root, whiteouts, limits).map_err(at_root)?;
    let mut done = Unpacked::default();
    let mut buffer = vec![0; COPY_BYTES];
    while let Some(entry) = archive.next()? {
        done.entries += 1;
        if done.entries > limits.entries {
            return Err(Fault::Limit { limit: limits.entries, what: "entries" });
        }
        if entry.kind == Kind::File {
            done.file_bytes = done.file_bytes.saturating_add(entry.size);
            if done.file_bytes > limits.total_bytes {
                return Err(Fault::Limit { limit: limits.total_bytes, what: "bytes of files" });
            }
        }
        one(archive, &mut tree, &entry, &mut done, limits, &mut buffer)
            .map_err(|error| Fault::Entry { entry: entry.path, error })?;
    }
    done.implicit_directories = tree.finish().map_err(at_root)?;
    Ok(done)
}

fn one<R: Read>(
    archive: &mut Archive<R>,
    tree: &mut Tree<'_>,
    entry: &Entry,
    done: &mut Unpacked,
    limits: &Limits,
    buffer: &mut [u8],
) -> Result<(), EntryError> {
    let path = LayerPath::parse(&entry.path, limits)?;
    let Some((dir, name)) = path.split() else {
        if entry.kind != Kind::Directory {
            return Err(EntryError::NoName);
        }
        done.xattrs_dropped += tree.directory(&path, entry)?;
        return Ok(());
    };
    if entry.kind == Kind::Device {
        done.devices_skipped += 1;
        return Ok(());
    }
    if name.starts_with(AUFS) {
        if name == OPAQUE {
            let dir = tree.enter(&dir, true)?;
            tree.opaque(&dir)?;
            done.whiteouts += 1;
        }
        return Ok(());
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        let at = tree.enter(&dir, true)?;
        tree.whiteout(&at, hidden)?;
        done.whiteouts += 1;
        return Ok(());
    }
    if entry.kind == Kind::Directory {
        done.xattrs_dropped += tree.directory(&path, entry)?;
        return Ok(());
    }
    let at = tree.enter(&dir, true)?;
    match entry.kind {
        Kind::File => {
            let mut file = tree.file(&at, name)?;
            fill(archive, &mut file, entry, buffer)?;
            done.xattrs_dropped += tree.finish_file(&file, entry)?;
        }
        Kind::HardLink => tree.hard_link(&at, name, &entry.link)?,
        Kind::Symlink => done.xattrs_dropped += tree.symlink(&at, name, entry)?,
        Kind::Fifo => done.xattrs_dropped += tree.fifo(&at, name, entry)?,
        Kind::Directory | Kind::Device => unreachable!("handled above"),
    }
    Ok(())
}

/// Writes an entry's bytes, each where it belongs.
fn fill<R: Read>(
    archive: &mut Archive<R>,
    file: &mut File,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<(), EntryError> {
    let Some(pieces) = &entry.sparse else {
        return Ok(exactly(archive, file, entry.size, buffer)?);
    };
    for (offset, length) in pieces {
        file.seek(SeekFrom::Start(*offset))?;
        exactly(archive, file, *length, buffer)?;
    }
    Ok(file.set_len(entry.size)?)
}

fn exactly(
    from: &mut impl Read,
    to: &mut File,
    mut length: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        match from.read(&mut buffer[..most]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                length -= n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
