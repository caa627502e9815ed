//! From an asynchronous body to a blocking reader, through a bounded channel.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Pieces under way: of 16 KiB to 64 KiB each, so below 1 MiB for a layer.
const PIECES: usize = 16;

/// The writing end.
pub(super) type PipeWriter = mpsc::Sender<io::Result<Bytes>>;

/// The reading end; its end is the writer's being dropped.
#[derive(Debug)]
pub(super) struct PipeReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

/// A pipe.
pub(super) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, PipeReader { pieces, current: Bytes::new() })
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
