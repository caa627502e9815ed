//! Reading the files, while they are written or long after.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::entry::{LogEntry, MAX_LINE, decode};

/// How far back from its end a file is read at once: four of the longest entries.
const STEP_BACK: u64 = 4 * MAX_LINE as u64;

/// The log files of a directory with the number of their first line, oldest first.
pub(super) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if let Some(first) = name.strip_suffix(".log").and_then(|stem| stem.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The number of the last line written.
pub(super) fn last_seq(dir: &Path) -> io::Result<Option<u64>> {
    match tail(dir, 1)?.last() {
        Some(entry) => Ok(Some(entry.seq)),
        None => Ok(files(dir)?.last().map(|(first, _)| first.saturating_sub(1))),
    }
}

/// The newest `count` lines, oldest first; none when there is no such directory.
///
/// # Errors
/// A file cannot be read.
pub fn tail(dir: &Path, count: usize) -> io::Result<Vec<LogEntry>> {
    let files = match files(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut newest_first: Vec<LogEntry> = Vec::new();
    for (_, path) in files.iter().rev() {
        let want = count - newest_first.len();
        if want == 0 {
            break;
        }
        let mut entries = match file_tail(path, want) {
            // Rotated away meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            other => other?,
        };
        entries.reverse();
        newest_first.extend(entries);
    }
    newest_first.reverse();
    Ok(newest_first)
}

fn file_tail(path: &Path, want: usize) -> io::Result<Vec<LogEntry>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut back = STEP_BACK;
    loop {
        let from = size.saturating_sub(back);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(size - from).read_to_end(&mut bytes)?;
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        if from > 0 && !lines.is_empty() {
            lines.remove(0);
        }
        let entries: Vec<LogEntry> =
            lines.iter().filter_map(|line| decode(line.strip_suffix(b"\n")?)).collect();
        if entries.len() >= want || from == 0 {
            return Ok(entries[entries.len().saturating_sub(want)..].to_vec());
        }
        back *= 4;
    }
}

/// Reads on and on, through rotations.
#[derive(Debug)]
pub struct LogFollower {
    dir: PathBuf,
    next: u64,
    open: Option<(u64, BufReader<File>)>,
    rest: Vec<u8>,
}

impl LogFollower {
    /// Begins at this line, or at the oldest there is when it has been rotated away.
    #[must_use]
    pub fn from(dir: &Path, seq: u64) -> Self {
        Self { dir: dir.to_owned(), next: seq, open: None, rest: Vec::new() }
    }

    /// The number of the next line it will give.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// At most `most` lines of what is there; empty when there is nothing new. Does not wait.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        while entries.len() < most {
            if self.open.is_none() && !self.open_file()? {
                break;
            }
            let Some((first, reader)) = &mut self.open else { break };
            let first = *first;
            // A line that is being written is kept until the rest of it is there.
            if reader.read_until(b'\n', &mut self.rest)? > 0 && self.rest.ends_with(b"\n") {
                self.rest.pop();
                let entry = decode(&self.rest);
                self.rest.clear();
                if let Some(entry) = entry.filter(|entry| entry.seq >= self.next) {
                    self.next = entry.seq + 1;
                    entries.push(entry);
                }
                continue;
            }
            // The end of this file: is there a next one?
            let files = files_or_none(&self.dir)?;
            let Some((newer, _)) = files.into_iter().find(|(start, _)| *start > first) else {
                break;
            };
            if !self.at_end()? {
                continue;
            }
            self.next = self.next.max(newer);
            self.open = None;
            self.rest.clear();
        }
        Ok(entries)
    }

    /// Whether nothing was added between reading to the end and seeing the next file.
    fn at_end(&mut self) -> io::Result<bool> {
        match &mut self.open {
            Some((_, reader)) => Ok(reader.fill_buf()?.is_empty()),
            None => Ok(true),
        }
    }

    fn open_file(&mut self) -> io::Result<bool> {
        let files = files_or_none(&self.dir)?;
        // The last file that begins at or before the wanted line, else the oldest.
        let at = files.iter().rposition(|(first, _)| *first <= self.next).unwrap_or(0);
        let Some((first, path)) = files.get(at) else { return Ok(false) };
        match File::open(path) {
            Ok(file) => self.open = Some((*first, BufReader::new(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
        Ok(true)
    }
}

fn files_or_none(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    match files(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
