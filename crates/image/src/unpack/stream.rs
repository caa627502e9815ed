//! From a blob's bytes to its archive's, hashed at both ends and held to size and ratio.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::digest::{Digest, HashReader, Hasher};
use crate::manifest::Compression;
use crate::unpack::Limits;

/// Largest window of a zstd stream, as a power of two: 128 MiB, what `zstd --ultra` makes by
/// default and what other engines accept.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Bytes of the compressed side read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A stream decompressed by what its first bytes say.
pub(crate) enum Unzip<R: BufRead> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(zstd::stream::read::Decoder<'static, R>),
}

impl<R: BufRead> Unzip<R> {
    pub(crate) fn new(mut input: R) -> io::Result<Self> {
        Ok(match Compression::detect(input.fill_buf()?) {
            Compression::None => Self::Plain(input),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Self::Zstd(decoder)
            }
        })
    }

    pub(crate) fn get_ref(&self) -> &R {
        match self {
            Self::Plain(input) => input,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn into_inner(self) -> R {
        match self {
            Self::Plain(input) => input,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: BufRead> Read for Unzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// A limit reached while decompressing; travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("the stream is over the limit of {limit} {what}")]
pub(crate) struct StreamLimit {
    pub(crate) limit: u64,
    pub(crate) what: &'static str,
}

impl StreamLimit {
    /// The limit inside `error`, if that is what it is.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// An error of the blob's source, told from errors in the blob; travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("reading the blob's source")]
pub(crate) struct SourceFailed(#[source] pub(crate) io::Error);

/// Marks errors of the source, and reads one byte past the announced size at most.
struct Source<R> {
    inner: io::Take<R>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            kind => io::Error::new(kind, SourceFailed(e)),
        })
    }
}

/// A layer's archive, decompressed from its blob.
pub(crate) struct LayerStream<'a, R: Read> {
    unzip: Unzip<BufReader<HashReader<Source<R>>>>,
    archive: Hasher,
    limits: &'a Limits,
}

/// What a whole layer hashed to.
pub(crate) struct Sums {
    pub(crate) blob: Digest,
    pub(crate) blob_bytes: u64,
    pub(crate) archive: Digest,
    pub(crate) archive_bytes: u64,
}

impl<'a, R: Read> LayerStream<'a, R> {
    /// Reads a blob that should have `size` bytes.
    pub(crate) fn new(blob: R, size: u64, limits: &'a Limits) -> io::Result<Self> {
        let source = Source { inner: blob.take(size.saturating_add(1)) };
        let input = BufReader::with_capacity(BUFFER_BYTES, HashReader::new(source));
        Ok(Self { unzip: Unzip::new(input)?, archive: Hasher::new(), limits })
    }

    /// Reads what is left of the archive.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }

    /// Reads what is left of the blob, without decompressing it, and gives the sums.
    pub(crate) fn finish(self) -> io::Result<Sums> {
        let mut input = self.unzip.into_inner();
        io::copy(&mut input, &mut io::sink())?;
        let (blob, blob_bytes) = input.into_inner().finish();
        let archive_bytes = self.archive.length();
        Ok(Sums { blob, blob_bytes, archive: self.archive.finish(), archive_bytes })
    }
}

impl<R: Read> Read for LayerStream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.unzip.read(buffer)?;
        self.archive.update(&buffer[..n]);
        let (unpacked, packed) = (self.archive.length(), self.unzip.get_ref().get_ref().length());
        if unpacked > self.limits.total_bytes {
            let limit = StreamLimit { limit: self.limits.total_bytes, what: "bytes unpacked" };
            return Err(io::Error::other(limit));
        }
        let most = packed.saturating_mul(self.limits.ratio);
        if unpacked > self.limits.ratio_floor_bytes && unpacked > most {
            let limit = StreamLimit {
                limit: self.limits.ratio,
                what: "bytes unpacked per byte of its blob",
            };
            return Err(io::Error::other(limit));
        }
        Ok(n)
    }
}
