//! Files by name, in a directory or a tar file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::archive::{Archive, Entry, Kind};
use crate::content::ContentStore;
use crate::layout::LayoutError;
use crate::manifest::MAX_DOCUMENT_BYTES;
use crate::unpack::{LayerPath, Limits, Unzip};

/// Most files of a tar file: 1,024 images of 128 layers, three files each as old Docker writes
/// them.
const MAX_FILES: usize = 400_000;

/// Most links to follow for one file; Docker makes one.
const MAX_LINKS: usize = 8;

/// Largest tar file once decompressed.
const MAX_BYTES: u64 = 256 << 30;

/// Where the files are.
pub(crate) enum Bundle {
    Directory(File),
    Tar { file: Arc<File>, items: BTreeMap<Vec<u8>, Item> },
}

/// A file of a tar file.
pub(crate) enum Item {
    Data { at: u64, size: u64 },
    Link(Vec<u8>),
}

impl Bundle {
    /// Opens a directory or tar file; a compressed one is unpacked to `store`'s scratch space.
    pub(crate) fn open(path: &Path, store: &ContentStore) -> Result<Self, LayoutError> {
        let doing = || format!("reading {}", path.display());
        let file = File::open(path).map_err(LayoutError::io(doing()))?;
        if file.metadata().map_err(LayoutError::io(doing()))?.is_dir() {
            return Ok(Self::Directory(file));
        }
        let mut unzip = Unzip::new(BufReader::new(file)).map_err(LayoutError::io(doing()))?;
        let file = match unzip {
            Unzip::Plain(plain) => plain.into_inner(),
            ref mut zipped => {
                let mut plain = store.anonymous()?;
                let copied = io::copy(&mut zipped.take(MAX_BYTES + 1), &mut plain)
                    .map_err(LayoutError::io(format!("decompressing {}", path.display())))?;
                if copied > MAX_BYTES {
                    return Err(LayoutError::Limit("it is over 256 GiB decompressed"));
                }
                plain
            }
        };
        let items = index(path, &file)?;
        Ok(Self::Tar { file: Arc::new(file), items })
    }

    /// Opens a file for reading; `None` if there is none of that name.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Box<dyn Read>>, LayoutError> {
        match self {
            Self::Directory(dir) => {
                // Names come from documents in the layout: they must not lead out of it.
                let opened = rustix::fs::openat2(
                    dir,
                    name,
                    OFlags::RDONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
                );
                match opened {
                    Ok(fd) => Ok(Some(Box::new(File::from(fd)))),
                    Err(rustix::io::Errno::NOENT) => Ok(None),
                    Err(e) => Err(LayoutError::io(format!("opening {name:?}"))(e.into())),
                }
            }
            Self::Tar { file, items } => {
                let mut name = normal(name.as_bytes());
                for _ in 0..MAX_LINKS {
                    match items.get(&name) {
                        None => return Ok(None),
                        Some(Item::Link(target)) => name.clone_from(target),
                        Some(Item::Data { at, size }) => {
                            let file = Arc::clone(file);
                            return Ok(Some(Box::new(Piece { file, at: *at, left: *size })));
                        }
                    }
                }
                Ok(None)
            }
        }
    }

    /// Opens a file that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<Box<dyn Read>, LayoutError> {
        self.file(name)?.ok_or_else(|| LayoutError::Missing(name.to_owned()))
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> Result<bool, LayoutError> {
        Ok(self.file(name)?.is_some())
    }

    /// Reads a document.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, LayoutError> {
        let mut content = Vec::new();
        self.need(name)?
            .take(MAX_DOCUMENT_BYTES as u64 + 1)
            .read_to_end(&mut content)
            .map_err(LayoutError::io(format!("reading {name:?}")))?;
        if content.len() > MAX_DOCUMENT_BYTES {
            return Err(LayoutError::TooLarge(name.to_owned()));
        }
        Ok(content)
    }
}

/// Finds the files of a tar file.
fn index(path: &Path, mut file: &File) -> Result<BTreeMap<Vec<u8>, Item>, LayoutError> {
    let broken = |source| LayoutError::Archive { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(0))
        .map_err(LayoutError::io(format!("reading {}", path.display())))?;
    let mut archive = Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut items = BTreeMap::new();
    while let Some(entry) = archive.next().map_err(broken)? {
        if let Some((name, item)) = item(&entry) {
            items.insert(name, item);
        }
        if items.len() > MAX_FILES {
            return Err(LayoutError::Limit("the tar file has more than 400,000 files"));
        }
    }
    Ok(items)
}

fn item(entry: &Entry) -> Option<(Vec<u8>, Item)> {
    let name = LayerPath::parse(&entry.path, &Limits::default()).ok()?.into_parts().join(&b'/');
    let item = match entry.kind {
        Kind::File if entry.sparse.is_none() => Item::Data { at: entry.data_at, size: entry.size },
        Kind::HardLink => Item::Link(normal(&entry.link)),
        Kind::Symlink => {
            let dir = name.iter().rposition(|b| *b == b'/').map_or(&b""[..], |end| &name[..end]);
            Item::Link(normal(&[dir, b"/", &entry.link].concat()))
        }
        _ => return None,
    };
    Some((name, item))
}

/// A name without `.`, `..` and empty components; `..` stops at the top.
fn normal(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Part of a file, read without moving anybody's position.
struct Piece {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Whether a directory is there and has something in it.
pub(crate) fn occupied(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
