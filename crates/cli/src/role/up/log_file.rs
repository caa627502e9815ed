//! The words of a child on disk: rotated and bounded, with the last lines at hand for when it
//! fails.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A log and the one before it: 2 × 8 MiB for each child.
const MAX_BYTES: u64 = 8 << 20;

/// Lines kept at hand.
const LAST_LINES: usize = 12;

/// The longest line kept at hand, in bytes: 12 × 2 KiB = 24 KiB.
const MAX_LINE: usize = 2 << 10;

/// A log file.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
    last: VecDeque<String>,
    partial: Vec<u8>,
}

impl LogFile {
    /// Opens it for appending.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            max_bytes: MAX_BYTES,
            last: VecDeque::new(),
            partial: Vec::new(),
        })
    }

    /// Writes what a child said. A full disk costs words, nothing else.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        if self.size + bytes.len() as u64 > self.max_bytes && self.size > 0 {
            let older = self.path.with_extension("log.1");
            if std::fs::rename(&self.path, older).is_ok()
                && let Ok(file) = append_to(&self.path)
            {
                (self.file, self.size) = (file, 0);
            } else {
                return;
            }
        }
        if self.file.write_all(bytes).is_ok() {
            self.size += bytes.len() as u64;
        }
    }

    /// The last lines, oldest first.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn remember(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                if self.partial.len() < MAX_LINE {
                    self.partial.push(*byte);
                }
                continue;
            }
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(String::from_utf8_lossy(&self.partial).into_owned());
            self.partial.clear();
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_below_its_size_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut log = LogFile::open(&path).unwrap();
        log.max_bytes = 1000;
        for n in 0..500 {
            log.write(format!("line {n}\n").as_bytes());
        }
        let older = std::fs::read_to_string(dir.path().join("server.log.1")).unwrap();
        let newest = std::fs::read_to_string(&path).unwrap();
        assert!(older.len() <= 1000 && newest.len() <= 1000);
        assert!(newest.ends_with("line 499\n"));
        assert_eq!(log.last_lines().len(), LAST_LINES);
        assert_eq!(log.last_lines().last().unwrap(), "line 499");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn endless_lines_are_cut_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(&dir.path().join("a.log")).unwrap();
        log.write(&vec![b'x'; 100_000]);
        log.write(b"\nend\n");
        assert_eq!(log.last_lines()[0].len(), MAX_LINE);
        assert_eq!(log.last_lines()[1], "end");
    }
}
