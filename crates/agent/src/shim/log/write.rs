//! Writing the files. Must never fail the container: what cannot be written is counted as dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::entry::{LogStream, MAX_LINE, encode};
use super::read;
use crate::runtime::LogOptions;

/// Puts lines together and writes them.
#[derive(Debug)]
pub(in crate::shim) struct LogWriter {
    dir: PathBuf,
    file_bytes: u64,
    files: usize,
    current: Option<File>,
    size: u64,
    next_seq: u64,
    pending: Vec<u8>,
    pending_lines: u64,
    dropped: u64,
    unreported: u64,
    open_lines: [Vec<u8>; 2],
    /// Whether the beginning of the line that comes was dropped, so that its rest goes too.
    headless: [bool; 2],
}

impl LogWriter {
    /// Opens the directory and goes on after what is there.
    pub(in crate::shim) fn open(options: &LogOptions) -> io::Result<Self> {
        fs::create_dir_all(&options.dir)?;
        Ok(Self {
            dir: options.dir.clone(),
            // A file holds one entry at least.
            file_bytes: options.file_bytes.max(MAX_LINE as u64 + 64),
            files: usize::try_from(options.files.max(1)).unwrap_or(1),
            current: None,
            size: 0,
            next_seq: read::last_seq(&options.dir)?.map_or(1, |last| last + 1),
            pending: Vec::new(),
            pending_lines: 0,
            dropped: 0,
            unreported: 0,
            open_lines: [Vec::new(), Vec::new()],
            headless: [false; 2],
        })
    }

    pub(in crate::shim) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(in crate::shim) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes what was read from a stream.
    pub(in crate::shim) fn take(&mut self, stream: LogStream, mut bytes: &[u8]) {
        let index = usize::from(stream == LogStream::Err);
        let now = unix_ns();
        if self.headless[index] {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.headless[index] = end.is_none();
            bytes = end.map_or(&[], |end| &bytes[end + 1..]);
        }
        while !bytes.is_empty() {
            let room = MAX_LINE - self.open_lines[index].len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    self.open_lines[index].extend_from_slice(&bytes[..end]);
                    self.finish_line(stream, now, false);
                    bytes = &bytes[end + 1..];
                }
                None => {
                    let taken = room.min(bytes.len());
                    self.open_lines[index].extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if self.open_lines[index].len() == MAX_LINE && !bytes.is_empty() {
                        self.finish_line(stream, now, true);
                    }
                }
            }
        }
        self.flush();
    }

    /// Throws away what was read and counts its lines, the one it breaks off included.
    pub(in crate::shim) fn drop_lines(&mut self, stream: LogStream, bytes: &[u8]) {
        let index = usize::from(stream == LogStream::Err);
        if !self.open_lines[index].is_empty() {
            self.finish_line(stream, unix_ns(), true);
            self.flush();
            self.headless[index] = true;
        }
        let mut lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let broken = bytes.last().is_some_and(|byte| *byte != b'\n');
        // A line of which a part was dropped before has been counted.
        lines -= u64::from(self.headless[index] && lines > 0);
        lines += u64::from(broken && (!self.headless[index] || bytes.contains(&b'\n')));
        self.headless[index] = broken;
        self.dropped += lines;
        self.unreported += lines;
    }

    /// Writes what has not ended by a newline; for the end of the container.
    pub(in crate::shim) fn finish(&mut self) {
        let now = unix_ns();
        for stream in [LogStream::Out, LogStream::Err] {
            if !self.open_lines[usize::from(stream == LogStream::Err)].is_empty() {
                self.finish_line(stream, now, true);
            }
        }
        self.report_dropped(now);
        self.flush();
    }

    fn finish_line(&mut self, stream: LogStream, now: u64, partial: bool) {
        let index = usize::from(stream == LogStream::Err);
        let mut text = std::mem::take(&mut self.open_lines[index]);
        self.report_dropped(now);
        self.entry(stream, now, partial, &text);
        text.clear();
        self.open_lines[index] = text;
    }

    fn report_dropped(&mut self, now: u64) {
        if self.unreported > 0 {
            let text = format!("{} lines dropped here", self.unreported);
            self.unreported = 0;
            self.entry(LogStream::Shim, now, false, text.as_bytes());
        }
    }

    fn entry(&mut self, stream: LogStream, now: u64, partial: bool, text: &[u8]) {
        let upcoming = (self.pending.len() + text.len() + 64) as u64;
        if self.size > 0 && self.size + upcoming > self.file_bytes {
            self.flush();
            self.current = None;
        }
        encode(&mut self.pending, self.next_seq, now, stream, partial, text);
        self.next_seq += 1;
        self.pending_lines += 1;
        if self.current.is_none() && self.size > 0 {
            self.size = 0;
        }
        if self.pending.len() >= MAX_LINE * 2 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let written = self.write_pending();
        match written {
            Ok(()) => self.size += self.pending.len() as u64,
            Err(_) => {
                // No half lines: go back to where the file was. The numbers go back too, so that
                // there are no gaps; the loss is reported when writing works again.
                if let Some(file) = &self.current {
                    let _ = file.set_len(self.size);
                }
                self.next_seq -= self.pending_lines;
                self.dropped += self.pending_lines;
                self.unreported += self.pending_lines;
            }
        }
        self.pending.clear();
        self.pending_lines = 0;
    }

    fn write_pending(&mut self) -> io::Result<()> {
        if self.current.is_none() {
            let first = self.next_seq - self.pending_lines;
            let path = self.dir.join(format!("{first:020}.log"));
            self.current = Some(OpenOptions::new().append(true).create(true).open(path)?);
            self.size = 0;
            self.remove_old();
        }
        match &mut self.current {
            Some(file) => file.write_all(&self.pending),
            None => Ok(()),
        }
    }

    fn remove_old(&self) {
        let Ok(files) = read::files(&self.dir) else { return };
        let surplus = files.len().saturating_sub(self.files);
        for (_, path) in &files[..surplus] {
            let _ = fs::remove_file(path as &Path);
        }
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
