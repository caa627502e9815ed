//! The directory of finished blobs: reading, listing, deleting, one-shot writing.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::content::ContentError;
use crate::digest::{Digest, HashReader, Hasher};
use crate::scratch::{self, Leftover, Scratch};

/// Bytes copied at once; large enough that system calls do not matter.
const COPY_BYTES: usize = 128 * 1024;

/// Blobs by digest, in a directory. Cloning is cheap and gives the same store.
#[derive(Debug, Clone)]
pub struct ContentStore {
    root: PathBuf,
    scratch: Scratch,
}

/// What is known of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// The blob's name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last stored (storing it again counts). Collectors of garbage spare the young.
    pub modified: SystemTime,
}

impl ContentStore {
    /// Opens the store at `root`, making it if need be. What killed writers left is removed;
    /// unfinished uploads stay.
    ///
    /// # Errors
    /// [`ContentError::Io`] or [`ContentError::DiskFull`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, ContentError> {
        let root = root.into();
        let make = |dir: &Path| {
            fs::create_dir_all(dir)
                .map_err(ContentError::io(format!("making content store at {}", dir.display())))
        };
        make(&root.join("blobs/sha256"))?;
        make(&root.join("uploads"))?;
        let scratch = Scratch::open(root.join("scratch"))
            .map_err(ContentError::io(format!("opening content store at {}", root.display())))?;
        Ok(Self { root, scratch })
    }

    /// Where the store's files are.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob's file is, or would be. For handing to other processes, never for writing.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// Size and age of a blob, `None` if the store has none.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn info(&self, digest: &Digest) -> Result<Option<BlobInfo>, ContentError> {
        match fs::symlink_metadata(self.path(digest)) {
            Ok(meta) => blob_info(*digest, &meta).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ContentError::io(format!("looking for blob {digest}"))(e)),
        }
    }

    /// Whether the store has the blob.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn has(&self, digest: &Digest) -> Result<bool, ContentError> {
        Ok(self.info(digest)?.is_some())
    }

    /// Makes a blob count as stored now, for collectors of garbage; `false` if there is none.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn refresh(&self, digest: &Digest) -> Result<bool, ContentError> {
        let now = FileTimes::new().set_modified(SystemTime::now());
        match File::open(self.path(digest)).and_then(|file| file.set_times(now)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(ContentError::io(format!("keeping blob {digest}"))(e)),
        }
    }

    /// Opens a blob for reading from its start. The content is not verified: readers who depend on
    /// it hash it on the way ([`HashReader`]) or ask [`ContentStore::read`].
    ///
    /// # Errors
    /// [`ContentError::NotFound`], [`ContentError::Io`].
    pub fn reader(&self, digest: &Digest) -> Result<BlobReader, ContentError> {
        let doing = || format!("opening blob {digest}");
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ContentError::NotFound(*digest));
            }
            Err(e) => return Err(ContentError::io(doing())(e)),
        };
        let size = file.metadata().map_err(ContentError::io(doing()))?.len();
        Ok(BlobReader { file, size, left: size })
    }

    /// Opens `length` bytes of a blob from byte `start`; fewer where the blob ends before.
    ///
    /// # Errors
    /// As [`ContentStore::reader`], and [`ContentError::Range`] when `start` is not inside it.
    pub fn range(
        &self,
        digest: &Digest,
        start: u64,
        length: u64,
    ) -> Result<BlobReader, ContentError> {
        let mut reader = self.reader(digest)?;
        let size = reader.size;
        if start >= size {
            return Err(ContentError::Range { digest: *digest, start, size });
        }
        reader
            .file
            .seek(SeekFrom::Start(start))
            .map_err(ContentError::io(format!("seeking in blob {digest}")))?;
        reader.left = length.min(size - start);
        Ok(reader)
    }

    /// The whole content of a blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`ContentError::NotFound`], [`ContentError::TooLarge`], [`ContentError::Corrupt`],
    /// [`ContentError::Io`].
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let mut reader = self.reader(digest)?;
        let size = reader.size;
        if size > limit {
            return Err(ContentError::TooLarge { digest: *digest, size, limit });
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        reader
            .read_to_end(&mut content)
            .map_err(ContentError::io(format!("reading blob {digest}")))?;
        let found = Digest::of(&content);
        if found != *digest {
            return Err(ContentError::Corrupt { digest: *digest, found });
        }
        Ok(content)
    }

    /// Reads a blob through and compares its digest.
    ///
    /// # Errors
    /// [`ContentError::NotFound`], [`ContentError::Corrupt`], [`ContentError::Io`].
    pub fn verify(&self, digest: &Digest) -> Result<(), ContentError> {
        let mut reader = HashReader::new(self.reader(digest)?);
        copy(&mut reader, &mut io::sink())
            .map_err(ContentError::io(format!("reading blob {digest}")))?;
        let (found, _) = reader.finish();
        if found == *digest {
            Ok(())
        } else {
            Err(ContentError::Corrupt { digest: *digest, found })
        }
    }

    /// Removes a blob; `false` if there was none. Readers that have it open finish undisturbed.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub fn delete(&self, digest: &Digest) -> Result<bool, ContentError> {
        match fs::remove_file(self.path(digest)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(ContentError::io(format!("deleting blob {digest}"))(e)),
        }
    }

    /// Every blob, in no particular order, read lazily. A blob stored or deleted meanwhile may or
    /// may not be among them.
    ///
    /// # Errors
    /// [`ContentError::Io`], for the listing or for single blobs.
    pub fn list(
        &self,
    ) -> Result<impl Iterator<Item = Result<BlobInfo, ContentError>> + use<>, ContentError> {
        let top = self.root.join("blobs/sha256");
        let doing = |path: &Path| format!("listing blobs in {}", path.display());
        let folders = fs::read_dir(&top).map_err(ContentError::io(doing(&top)))?;
        Ok(folders.flat_map(move |folder| {
            let files = folder.and_then(|folder| fs::read_dir(folder.path()));
            let (files, error) = match files {
                Ok(files) => (Some(files), None),
                Err(e) => (None, Some(Err(ContentError::io(doing(&top))(e)))),
            };
            files.into_iter().flatten().filter_map(listed).chain(error)
        }))
    }

    /// Stores `content`.
    ///
    /// # Errors
    /// [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn write(&self, content: &[u8]) -> Result<Digest, ContentError> {
        let mut writer = self.writer()?;
        writer.write_all(content).map_err(ContentError::io("writing a blob"))?;
        Ok(writer.commit(None)?.digest)
    }

    /// Stores everything `reader` gives, checked against `expected` where the digest is known.
    ///
    /// # Errors
    /// [`ContentError::Mismatch`], [`ContentError::DiskFull`], [`ContentError::Io`] (also for the
    /// reader's own errors). Nothing is left behind.
    pub fn ingest(
        &self,
        mut reader: impl Read,
        expected: Option<&Digest>,
    ) -> Result<BlobInfo, ContentError> {
        let mut writer = self.writer()?;
        let doing = || match expected {
            Some(digest) => format!("receiving blob {digest}"),
            None => "receiving a blob".to_owned(),
        };
        copy(&mut reader, &mut writer).map_err(ContentError::io(doing()))?;
        writer.commit(expected)
    }

    /// A writer for one blob.
    ///
    /// # Errors
    /// [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn writer(&self) -> Result<Writer, ContentError> {
        let (leftover, file) = self.scratch.file().map_err(ContentError::io("starting a blob"))?;
        Ok(Writer { store: self.clone(), leftover, file, hasher: Hasher::new() })
    }

    /// A scratch file that nobody else sees and that vanishes with its handle.
    pub(crate) fn anonymous(&self) -> Result<File, ContentError> {
        let (_removed_now, file) =
            self.scratch.file().map_err(ContentError::io("making a scratch file"))?;
        Ok(file)
    }

    /// Puts the finished file at `from` in its place. Replacing a blob by itself is harmless, makes
    /// it young for collectors of garbage, and heals it if its bytes had rotted.
    pub(crate) fn place(
        &self,
        from: &Path,
        file: &File,
        digest: Digest,
    ) -> Result<BlobInfo, ContentError> {
        let to = self.path(&digest);
        let folder = to.parent().expect("a blob's path has a folder");
        let work = || -> io::Result<fs::Metadata> {
            file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            file.sync_all()?;
            if !folder.exists() {
                fs::create_dir_all(folder)?;
                scratch::sync_dir(&self.root.join("blobs/sha256"))?;
            }
            fs::rename(from, &to)?;
            scratch::sync_dir(folder)?;
            file.metadata()
        };
        let meta = work().map_err(ContentError::io(format!("storing blob {digest}")))?;
        blob_info(digest, &meta)
    }
}

/// A directory entry as a blob; what is none is passed over.
fn listed(entry: io::Result<fs::DirEntry>) -> Option<Result<BlobInfo, ContentError>> {
    let work = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(ContentError::io("listing blobs"))?;
        let Some(digest) = entry.file_name().to_str().and_then(|hex| Digest::from_hex(hex).ok())
        else {
            return Ok(None);
        };
        match entry.metadata() {
            Ok(meta) => blob_info(digest, &meta).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ContentError::io(format!("looking at blob {digest}"))(e)),
        }
    };
    work(entry).transpose()
}

fn blob_info(digest: Digest, meta: &fs::Metadata) -> Result<BlobInfo, ContentError> {
    let modified =
        meta.modified().map_err(ContentError::io(format!("reading the age of blob {digest}")))?;
    Ok(BlobInfo { digest, size: meta.len(), modified })
}

/// Copies everything; like [`io::copy`] with a larger buffer.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut copied = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(&buffer[..n])?;
        copied += n as u64;
    }
}

/// A blob, or a range of one, being read.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    size: u64,
    left: u64,
}

impl BlobReader {
    /// The size of the whole blob in bytes, whatever the range.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes are still to be read.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The file, positioned at the next byte; the reader must stop after [`BlobReader::left`].
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the blob's file was cut off",
            ));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Writes one blob; dropped without [`Writer::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Writer {
    store: ContentStore,
    leftover: Leftover,
    file: File,
    hasher: Hasher,
}

impl Writer {
    /// How many bytes were written.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.hasher.length()
    }

    /// Stores what was written, durably, and checks it against `expected` where given.
    ///
    /// # Errors
    /// [`ContentError::Mismatch`], [`ContentError::DiskFull`], [`ContentError::Io`].
    pub fn commit(self, expected: Option<&Digest>) -> Result<BlobInfo, ContentError> {
        let length = self.hasher.length();
        let found = self.hasher.finish();
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(ContentError::Mismatch { expected: *expected, found, length });
        }
        let info = self.store.place(self.leftover.path(), &self.file, found)?;
        self.leftover.keep();
        Ok(info)
    }
}

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
