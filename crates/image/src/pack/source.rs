//! What is to be added: files and directories of this machine, and where they go.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::pack::PackError;
use crate::pack::base::Parts;

/// A file or directory and where in the image it goes.
///
/// Written `SRC:DEST`. A directory's content goes below DEST; a file becomes DEST, or goes below it
/// when DEST ends with a slash. A symbolic link as SRC is followed; inside a directory it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Where it goes, starting with a slash.
    pub destination: String,
}

impl FromStr for Source {
    type Err = PackError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The last colon: sources may have one in their name, destinations hardly ever do.
        match text.rsplit_once(':') {
            Some((source, destination)) if !source.is_empty() && destination.starts_with('/') => {
                Ok(Self { source: source.into(), destination: destination.to_owned() })
            }
            _ => Err(PackError::Source(text.to_owned())),
        }
    }
}

/// The time to give everything: the value of `SOURCE_DATE_EPOCH` if there is one
/// (reproducible-builds.org), else 1970.
///
/// # Errors
/// [`PackError::Epoch`] for anything but seconds.
pub fn source_date_epoch(value: Option<&str>) -> Result<u64, PackError> {
    value.map_or(Ok(0), |text| text.parse().map_err(|_| PackError::Epoch(text.to_owned())))
}

/// Something found on this machine, on its way into a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Directory,
    File { from: PathBuf, size: u64, executable: bool },
    Symlink(Vec<u8>),
}

/// Everything below `source`, as destination components and what goes there, parents first and
/// sorted by name.
pub(crate) fn collect(source: &Source) -> Result<Vec<(Parts, Found)>, PackError> {
    let bad = |why| PackError::Destination { dest: source.destination.clone(), why };
    let mut dest: Parts = Vec::new();
    for part in source.destination.as_bytes().split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(bad("it has a `..` component")),
            _ if part.contains(&0) => return Err(bad("it has a NUL byte")),
            _ => dest.push(part.to_vec()),
        }
    }
    let path = &source.source;
    let meta = fs::metadata(path).map_err(read(path))?;
    let mut found = Vec::new();
    if meta.is_dir() {
        if !dest.is_empty() {
            found.push((dest.clone(), Found::Directory));
        }
        below(path, &dest, &mut found)?;
        return Ok(found);
    }
    if source.destination.ends_with('/') {
        let name = path.file_name().ok_or_else(|| bad("the source has no file name"))?;
        dest.push(name.as_bytes().to_vec());
    }
    if dest.is_empty() {
        return Err(bad("a file cannot be the root directory"));
    }
    found.push((dest, regular(path, &meta)?));
    Ok(found)
}

fn below(top: &Path, dest: &[Vec<u8>], found: &mut Vec<(Parts, Found)>) -> Result<(), PackError> {
    // A stack of its own: directories may be deeper than the thread's.
    let mut open = vec![(top.to_owned(), dest.to_vec())];
    while let Some((dir, dest)) = open.pop() {
        let entries: io::Result<Vec<_>> = fs::read_dir(&dir).and_then(Iterator::collect);
        for entry in entries.map_err(read(&dir))? {
            let path = entry.path();
            let mut dest = dest.clone();
            dest.push(entry.file_name().as_bytes().to_vec());
            let meta = fs::symlink_metadata(&path).map_err(read(&path))?;
            if meta.is_dir() {
                found.push((dest.clone(), Found::Directory));
                open.push((path, dest));
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(read(&path))?;
                found.push((dest, Found::Symlink(target.as_os_str().as_bytes().to_vec())));
            } else {
                found.push((dest, regular(&path, &meta)?));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(())
}

fn regular(path: &Path, meta: &fs::Metadata) -> Result<Found, PackError> {
    if !meta.is_file() {
        return Err(PackError::Special(path.to_owned()));
    }
    let executable = meta.permissions().mode() & 0o111 != 0;
    Ok(Found::File { from: path.to_owned(), size: meta.len(), executable })
}

pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Read { path, source }
}
