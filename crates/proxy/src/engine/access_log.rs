//! The access log's way to the disk: workers fill buffers, one thread writes and rotates. A slow
//! disk costs lines, which are counted, never time on the path of a request.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A worker hands over its buffer at this size, or at the next tick.
const CHUNK_BYTES: usize = 32 * 1024;

/// Buffers on their way: 64 × 32 KiB = 2 MiB, about 8,000 lines.
const CHUNKS: usize = 64;

/// Where the log goes and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// The file; older ones get `.1`, `.2`, … behind.
    pub path: PathBuf,
    /// A file is closed and a new one begun beyond this size in bytes.
    pub max_bytes: u64,
    /// How many older files are kept.
    pub keep: u32,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
}

/// The writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: SyncSender<Chunk>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Opens the file and starts the thread.
    pub(crate) fn start(log: AccessLog) -> io::Result<Self> {
        let file = Rotating::open(log)?;
        let (sender, receiver) = sync_channel(CHUNKS);
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&receiver, file))?;
        Ok(Self { sender, thread })
    }

    pub(crate) fn buffer(&self) -> LogBuffer {
        LogBuffer { sender: Some(self.sender.clone()), ..LogBuffer::disabled() }
    }

    /// Waits until everything handed over is written; the workers must be gone.
    pub(crate) fn finish(self) {
        drop(self.sender);
        if self.thread.join().is_err() {
            tracing::error!("the access log's thread panicked");
        }
    }
}

fn write_all(receiver: &Receiver<Chunk>, mut file: Rotating) {
    let mut failing = false;
    while let Ok(chunk) = receiver.recv() {
        let result = file.write(&chunk.bytes);
        if let Err(error) = &result
            && !failing
        {
            tracing::warn!(%error, path = %file.log.path.display(), "writing the access log");
        }
        failing = result.is_err();
    }
}

/// A worker's buffer.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    sender: Option<SyncSender<Chunk>>,
    bytes: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    pub(crate) dropped: Cell<u64>,
}

impl LogBuffer {
    pub(crate) fn disabled() -> Self {
        Self { sender: None, bytes: RefCell::default(), lines: Cell::new(0), dropped: Cell::new(0) }
    }

    /// Adds a line, if there is a log.
    pub(crate) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.sender.is_none() {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        write(&mut bytes);
        self.lines.set(self.lines.get() + 1);
        if bytes.len() >= CHUNK_BYTES {
            drop(bytes);
            self.flush();
        }
    }

    /// Hands the buffer over.
    pub(crate) fn flush(&self) {
        let Some(sender) = &self.sender else { return };
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            return;
        }
        let capacity = if bytes.len() >= CHUNK_BYTES { CHUNK_BYTES + 1024 } else { 0 };
        let full = std::mem::replace(&mut *bytes, Vec::with_capacity(capacity));
        let lines = self.lines.replace(0);
        if sender.try_send(Chunk { bytes: full }).is_err() {
            self.dropped.set(self.dropped.get() + lines);
        }
    }
}

/// A file that starts anew when it is full.
#[derive(Debug)]
struct Rotating {
    log: AccessLog,
    file: File,
    size: u64,
}

impl Rotating {
    fn open(log: AccessLog) -> io::Result<Self> {
        let (file, size) = open(&log.path)?;
        Ok(Self { log, file, size })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.log.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |n: u32| {
            let mut name = self.log.path.clone().into_os_string();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        };
        for n in (1..self.log.keep).rev() {
            ignore_missing(std::fs::rename(numbered(n), numbered(n + 1)))?;
        }
        if self.log.keep > 0 {
            ignore_missing(std::fs::rename(&self.log.path, numbered(1)))?;
        } else {
            ignore_missing(std::fs::remove_file(&self.log.path))?;
        }
        (self.file, self.size) = open(&self.log.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_move_on_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = AccessLog { path: path.clone(), max_bytes: 10, keep: 2 };
        let mut file = Rotating::open(log).unwrap();
        for text in ["first....\n", "second...\n", "third....\n", "fourth...\n"] {
            file.write(text.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("access.log"), "fourth...\n");
        assert_eq!(read("access.log.1"), "third....\n");
        assert_eq!(read("access.log.2"), "second...\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let (sender, receiver) = sync_channel(1);
        let buffer = LogBuffer { sender: Some(sender), ..LogBuffer::disabled() };
        for _ in 0..3 {
            buffer.line(|out| out.extend_from_slice(b"one\n"));
            buffer.line(|out| out.extend_from_slice(b"two\n"));
            buffer.flush();
        }
        assert_eq!(buffer.dropped.get(), 4);
        assert_eq!(receiver.recv().unwrap().bytes, b"one\ntwo\n");
    }
}
