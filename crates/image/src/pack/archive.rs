//! Writing tar archives and gzip streams whose bytes depend on nothing but their content.
//!
//! Only GNU's format is written: one header per entry, long names before it. All readers of images
//! know it.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;

/// gzip's own default: 9 costs thrice the time for one per cent.
const GZIP_LEVEL: u32 = 6;

/// Names up to here fit the header.
const SHORT_NAME_BYTES: usize = 100;

/// Input is handed to the compressor in blocks of this size, whatever sizes it came in, since
/// compressors may cut their own blocks where their input pauses.
const INPUT_BLOCK_BYTES: usize = 64 * 1024;

/// Owner and group of what comes from the machine that builds.
pub(crate) const ROOT_OWNED: (u64, u64) = (0, 0);

/// What an entry is.
pub(crate) enum TarKind<'a> {
    Directory,
    Symlink(&'a [u8]),
    File(u64),
}

/// One entry's header.
pub(crate) struct TarEntry<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) kind: TarKind<'a>,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    /// Seconds since 1970.
    pub(crate) mtime: u64,
}

/// Writes a tar archive.
pub(crate) struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; `body` must give exactly the bytes that a file's size says.
    pub(crate) fn entry(&mut self, entry: &TarEntry<'_>, body: impl Read) -> io::Result<()> {
        let mut path = entry.path.to_vec();
        if matches!(entry.kind, TarKind::Directory) {
            path.push(b'/');
        }
        let mut header = Header::new_gnu();
        let (kind, size, link) = match entry.kind {
            TarKind::Directory => (EntryType::Directory, 0, &b""[..]),
            TarKind::Symlink(target) => (EntryType::Symlink, 0, target),
            TarKind::File(size) => (EntryType::Regular, size, &b""[..]),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(entry.mtime);
        self.long(EntryType::GNULongLink, link)?;
        self.long(EntryType::GNULongName, &path)?;
        let old = header.as_old_mut();
        let (n, l) = (path.len().min(SHORT_NAME_BYTES), link.len().min(SHORT_NAME_BYTES));
        old.name[..n].copy_from_slice(&path[..n]);
        old.linkname[..l].copy_from_slice(&link[..l]);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.body(size, body)
    }

    fn long(&mut self, kind: EntryType, text: &[u8]) -> io::Result<()> {
        if text.len() <= SHORT_NAME_BYTES {
            return Ok(());
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        let size = text.len() as u64 + 1;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let name = b"././@LongLink";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.body(size, text.chain(&b"\0"[..]))
    }

    fn body(&mut self, size: u64, body: impl Read) -> io::Result<()> {
        let copied = io::copy(&mut body.take(size), &mut self.out)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let padding = (BLOCK - size % BLOCK) % BLOCK;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out)?;
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out)
    }
}

/// A gzip stream without name and time.
pub(crate) fn gzip<W: Write>(out: W) -> GzEncoder<W> {
    // 255 is "unknown" (RFC 1952 §2.3.1): the machine that builds is nobody's business.
    GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::new(GZIP_LEVEL))
}

/// Passes on what is written in blocks of one size.
pub(crate) struct FixedBlocks<W> {
    out: W,
    block: Vec<u8>,
}

impl<W: Write> FixedBlocks<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, block: Vec::with_capacity(INPUT_BLOCK_BYTES) }
    }

    /// Passes on the last, shorter block.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.block)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for FixedBlocks<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = buffer.len().min(INPUT_BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&buffer[..n]);
        if self.block.len() == INPUT_BLOCK_BYTES {
            self.out.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
