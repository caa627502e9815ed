//! Reading tar archives entry by entry, from a stream, trusting nothing.
//!
//! Header fields are decoded by the `tar` crate; the framing is here, because that is where an
//! archive can make its reader allocate or loop: extended headers, long names and sparse maps all
//! have a limit. Understood are the formats v7, ustar, PAX (POSIX.1-2017, pax "Extended header
//! format") and GNU's, with GNU's sparse files in all their four encodings. What an entry *means*
//! is for others to judge; nothing here touches a file system.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

const BLOCK: usize = 512;

/// Largest extended header: sixteen extended attributes of the kernel's largest size (64 KiB).
const MAX_EXTENSION_BYTES: u64 = 1024 * 1024;

/// Most pieces of a sparse file; a piece is 16 bytes here, so 1 MiB.
const MAX_SPARSE_PIECES: usize = 65_536;

/// What is wrong with an archive's form.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream ends inside a header or a file.
    #[error("reading archive at byte {0}: it is cut off")]
    Truncated(u64),
    /// A header's checksum is wrong: this is no archive, or a damaged one.
    #[error("reading archive at byte {0}: the header's checksum is wrong")]
    Checksum(u64),
    /// A header's field makes no sense.
    #[error("reading archive at byte {at}: the header's {field} makes no sense")]
    Field {
        /// Where the header starts.
        at: u64,
        /// The field.
        field: &'static str,
    },
    /// An extended header, long name or sparse map over its limit.
    #[error("reading archive at byte {at}: its {what} is over the limit of {limit}")]
    Limit {
        /// Where the header starts.
        at: u64,
        /// The thing that is too large.
        what: &'static str,
        /// The limit, in bytes or pieces.
        limit: u64,
    },
    /// A type of entry that no layer has.
    #[error("reading archive at byte {at}: entries of type {kind:?} are not supported")]
    Kind {
        /// Where the header starts.
        at: u64,
        /// The type flag.
        kind: char,
    },
    /// The stream below failed.
    #[error("reading archive")]
    Read(#[from] io::Error),
}

/// The kinds of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    Fifo,
    /// Character or block device.
    Device,
}

/// A point in time: seconds since 1970 and nanoseconds after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// An entry's header, extensions applied.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<u8>,
    /// The target of a link.
    pub(crate) link: Vec<u8>,
    /// Permissions with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: Time,
    /// The file's length once unpacked, holes included.
    pub(crate) size: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the stored bytes of a sparse file go: offset and length, in order.
    pub(crate) sparse: Option<Vec<(u64, u64)>>,
    /// Where in the archive the stored bytes begin.
    pub(crate) data_at: u64,
}

/// An archive being read. Reading from it gives the stored bytes of the current entry.
#[derive(Debug)]
pub(crate) struct Archive<R> {
    input: R,
    at: u64,
    /// Stored bytes of the current entry not read yet, and the padding after them.
    left: u64,
    padding: u64,
    ended: bool,
}

/// What extended headers said about the entry after them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<Time>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: PaxSparse,
}

/// GNU's sparse files in PAX form, versions 0.0, 0.1 and 1.0.
#[derive(Default)]
struct PaxSparse {
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    numbers: Vec<u64>,
    used: bool,
    version_1: bool,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, at: 0, left: 0, padding: 0, ended: false }
    }

    /// The stream below, wherever it stands.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// The next entry, `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        let mut extension_bytes = 0;
        loop {
            self.skip_body()?;
            let start = self.at;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| field(start, "size"))?;
            let kind = header.entry_type();
            let extends = matches!(
                kind,
                EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink
            );
            if !extends && kind != EntryType::XGlobalHeader {
                return self.entry(start, &header, extensions).map(Some);
            }
            self.set_body(size);
            if kind == EntryType::XGlobalHeader {
                continue;
            }
            extension_bytes += size.max(BLOCK as u64);
            if size > MAX_EXTENSION_BYTES || extension_bytes > 2 * MAX_EXTENSION_BYTES {
                let limit = MAX_EXTENSION_BYTES;
                return Err(ArchiveError::Limit { at: start, what: "extended header", limit });
            }
            let body = self.whole_body(size)?;
            match kind {
                EntryType::GNULongName => extensions.path = Some(until_nul(&body).to_vec()),
                EntryType::GNULongLink => extensions.link = Some(until_nul(&body).to_vec()),
                _ => extensions.read(start, &body)?,
            }
        }
    }

    fn entry(
        &mut self,
        start: u64,
        header: &Header,
        mut extensions: Extensions,
    ) -> Result<Entry, ArchiveError> {
        let path = extensions.sparse.name.take().or(extensions.path.take());
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = kind(start, header.entry_type(), &path)?;
        // As Go's archive/tar has it, which most builders and engines use: only files have bodies.
        let stored = match (kind, extensions.size) {
            (Kind::File, Some(size)) => size,
            (Kind::File, None) => header.entry_size().map_err(|_| field(start, "size"))?,
            _ => 0,
        };
        let mut entry = Entry {
            kind,
            path,
            link: extensions.link.take().unwrap_or_else(|| {
                header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default()
            }),
            mode: header.mode().map_err(|_| field(start, "mode"))? & 0o7777,
            uid: pick(extensions.uid, header.uid()).ok_or_else(|| field(start, "owner"))?,
            gid: pick(extensions.gid, header.gid()).ok_or_else(|| field(start, "group"))?,
            mtime: match extensions.mtime {
                Some(time) => time,
                None => {
                    let seconds = header.mtime().map_err(|_| field(start, "time"))?;
                    Time { seconds: seconds.cast_signed(), nanos: 0 }
                }
            },
            size: stored,
            xattrs: std::mem::take(&mut extensions.xattrs),
            sparse: None,
            data_at: 0,
        };
        self.set_body(stored);
        if header.entry_type() == EntryType::GNUSparse {
            self.gnu_sparse(start, header, &mut entry, stored)?;
        } else if extensions.sparse.used && kind == Kind::File {
            self.pax_sparse(start, extensions.sparse, &mut entry)?;
        }
        entry.data_at = self.at;
        Ok(entry)
    }

    /// GNU's old form: four pieces in the header, then blocks of twenty-one before the body.
    fn gnu_sparse(
        &mut self,
        start: u64,
        header: &Header,
        entry: &mut Entry,
        stored: u64,
    ) -> Result<(), ArchiveError> {
        let bad = || field(start, "sparse map");
        let gnu = header.as_gnu().ok_or_else(bad)?;
        let mut pieces = Vec::new();
        push_pieces(&mut pieces, &gnu.sparse).ok_or_else(bad)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            self.fill(block.as_mut_bytes(), start)?;
            push_pieces(&mut pieces, block.sparse()).ok_or_else(bad)?;
            check_pieces(start, pieces.len())?;
            more = block.is_extended();
        }
        entry.size = gnu.real_size().map_err(|_| bad())?;
        check_map(&pieces, entry.size, stored).ok_or_else(bad)?;
        entry.sparse = Some(pieces);
        Ok(())
    }

    /// GNU's PAX forms: the map in the extended header, or (1.0) as text before the body.
    fn pax_sparse(
        &mut self,
        start: u64,
        sparse: PaxSparse,
        entry: &mut Entry,
    ) -> Result<(), ArchiveError> {
        let bad = || field(start, "sparse map");
        let mut numbers = sparse.numbers;
        if sparse.version_1 {
            let mut text = SparseText { archive: self, block: [0; BLOCK], next: BLOCK };
            let count = text.number(start)?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            check_pieces(start, count)?;
            numbers = (0..2 * count).map(|_| text.number(start)).collect::<Result<_, _>>()?;
        }
        if !numbers.len().is_multiple_of(2) {
            return Err(bad());
        }
        let pieces: Vec<_> = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        entry.size = sparse.real_size.ok_or_else(bad)?;
        check_map(&pieces, entry.size, self.left).ok_or_else(bad)?;
        entry.sparse = Some(pieces);
        Ok(())
    }

    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        let start = self.at;
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            self.ended = true;
            return Ok(None);
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            self.ended = true;
            let mut second = [0; BLOCK];
            if self.block(&mut second)? && second.iter().any(|b| *b != 0) {
                return Err(ArchiveError::Checksum(start + BLOCK as u64));
            }
            return Ok(None);
        }
        let stated = header.cksum().map_err(|_| ArchiveError::Checksum(start))?;
        let (unsigned, signed) = checksums(header.as_bytes());
        if stated != unsigned && i64::from(stated) != signed {
            return Err(ArchiveError::Checksum(start));
        }
        Ok(Some(header))
    }

    /// Fills `block`; `false` if the stream ended before its first byte.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveError> {
        let mut have = 0;
        while have < BLOCK {
            match self.input.read(&mut block[have..]) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return Err(ArchiveError::Truncated(self.at)),
                Ok(n) => {
                    have += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    fn fill(&mut self, block: &mut [u8; BLOCK], start: u64) -> Result<(), ArchiveError> {
        if self.block(block)? { Ok(()) } else { Err(ArchiveError::Truncated(start)) }
    }

    fn set_body(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn whole_body(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut body = Vec::new();
        self.read_to_end(&mut body)?;
        if body.len() as u64 == size { Ok(body) } else { Err(ArchiveError::Truncated(self.at)) }
    }

    fn skip_body(&mut self) -> Result<(), ArchiveError> {
        let mut skip = std::mem::take(&mut self.left).saturating_add(self.padding);
        self.padding = 0;
        let mut buffer = [0; 16 * 1024];
        while skip > 0 {
            let most = usize::try_from(skip).unwrap_or(usize::MAX).min(buffer.len());
            match self.input.read(&mut buffer[..most]) {
                Ok(0) => return Err(ArchiveError::Truncated(self.at)),
                Ok(n) => {
                    skip -= n as u64;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.input.read(&mut buffer[..most])?;
        if n == 0 {
            let cut = ArchiveError::Truncated(self.at);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        self.left -= n as u64;
        self.at += n as u64;
        Ok(n)
    }
}

/// The decimal lines at the start of a body in sparse form 1.0.
struct SparseText<'a, R> {
    archive: &'a mut Archive<R>,
    block: [u8; BLOCK],
    next: usize,
}

impl<R: Read> SparseText<'_, R> {
    fn number(&mut self, start: u64) -> Result<u64, ArchiveError> {
        let bad = || field(start, "sparse map");
        let mut digits = Vec::new();
        loop {
            if self.next == BLOCK {
                if self.archive.left < BLOCK as u64 {
                    return Err(bad());
                }
                self.archive.left -= BLOCK as u64;
                self.archive.fill(&mut self.block, start)?;
                self.next = 0;
            }
            let byte = self.block[self.next];
            self.next += 1;
            match byte {
                b'\n' => return decimal(&digits).ok_or_else(bad),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Err(bad()),
            }
        }
    }
}

impl Extensions {
    /// Reads records of the form `LENGTH KEY=VALUE\n`.
    fn read(&mut self, at: u64, mut body: &[u8]) -> Result<(), ArchiveError> {
        let bad = || field(at, "extended header");
        while !body.is_empty() {
            let space = body.iter().take(20).position(|b| *b == b' ').ok_or_else(bad)?;
            let length = decimal(&body[..space]).ok_or_else(bad)?;
            let length = usize::try_from(length).map_err(|_| bad())?;
            if length <= space + 1 || length > body.len() || body[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &body[space + 1..length - 1];
            body = &body[length..];
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            self.record(&record[..equals], &record[equals + 1..]).ok_or_else(bad)?;
            check_pieces(at, self.sparse.numbers.len() / 2)?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = |value: &[u8]| (!value.contains(&0)).then(|| value.to_vec());
        match key {
            b"path" => self.path = Some(text(value)?),
            b"linkpath" => self.link = Some(text(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = text(name)?;
                    self.xattrs.retain(|(other, _)| *other != name);
                    self.xattrs.push((name, value.to_vec()));
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.record(key, value)?;
                }
            }
        }
        Some(())
    }
}

impl PaxSparse {
    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"name" if !value.contains(&0) => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => {
                self.real_size = Some(decimal(value)?);
                self.used = true;
            }
            b"major" => self.version_1 = decimal(value)? == 1,
            b"offset" | b"numbytes" => self.numbers.push(decimal(value)?),
            b"map" => {
                self.numbers = value.split(|b| *b == b',').map(decimal).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }
}

fn kind(at: u64, kind: EntryType, path: &[u8]) -> Result<Kind, ArchiveError> {
    Ok(match kind {
        // Before ustar a directory was a file whose name ends with a slash.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        other => return Err(ArchiveError::Kind { at, kind: char::from(other.as_byte()) }),
    })
}

fn push_pieces(pieces: &mut Vec<(u64, u64)>, headers: &[GnuSparseHeader]) -> Option<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        pieces.push((header.offset().ok()?, header.length().ok()?));
    }
    Some(())
}

fn check_pieces(at: u64, pieces: usize) -> Result<(), ArchiveError> {
    if pieces <= MAX_SPARSE_PIECES {
        return Ok(());
    }
    Err(ArchiveError::Limit { at, what: "sparse map", limit: MAX_SPARSE_PIECES as u64 })
}

/// Pieces are in order, inside the file, and as long together as what is stored.
fn check_map(pieces: &[(u64, u64)], size: u64, stored: u64) -> Option<()> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for &(offset, length) in pieces {
        if offset < end {
            return None;
        }
        end = offset.checked_add(length)?;
        total = total.checked_add(length)?;
    }
    (end <= size && total == stored).then_some(())
}

fn checksums(header: &[u8; BLOCK]) -> (u32, i64) {
    let blanked = |(i, byte): (usize, &u8)| if (148..156).contains(&i) { b' ' } else { *byte };
    let unsigned = header.iter().enumerate().map(|b| u32::from(blanked(b))).sum();
    let signed = header.iter().enumerate().map(|b| i64::from(blanked(b).cast_signed())).sum();
    (unsigned, signed)
}

fn field(at: u64, field: &'static str) -> ArchiveError {
    ArchiveError::Field { at, field }
}

fn pick(extension: Option<u64>, header: io::Result<u64>) -> Option<u64> {
    extension.or(header.ok())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or(bytes)
}

/// An unsigned decimal number of digits alone.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`, rounded down to nanoseconds.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = value.iter().position(|b| *b == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, i| {
        nanos * 10 + fraction.get(i).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests;
