//! Keeping a layer as it was transferred, for other hosts, while it is unpacked.

use std::io::{self, Read, Write};

use image::Digest;
use image::content::Writer;

/// Reads through, and writes a copy.
pub(super) struct Copying<R> {
    inner: R,
    copy: Option<Writer>,
}

impl<R: Read> Copying<R> {
    /// A reader without `copy` writes none.
    pub(super) fn new(inner: R, copy: Option<Writer>) -> Self {
        Self { inner, copy }
    }

    /// Keeps the copy, which was read to its end.
    pub(super) fn keep(self, digest: &Digest) {
        if let Some(copy) = self.copy
            && let Err(error) = copy.commit(Some(digest))
        {
            tracing::warn!(%digest, %error, "keep a layer for other hosts");
        }
    }
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(&buffer[..read])
        {
            // The layer itself matters more.
            tracing::warn!(%error, "keep a layer for other hosts");
            self.copy = None;
        }
        Ok(read)
    }
}
