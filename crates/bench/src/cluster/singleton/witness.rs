//! The witness: the app writes a line every 5 ms, with the time, its epoch and its name, to a file
//! of its own. All files that ever appear are held open, so that none is lost with its instance.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Nanoseconds of the wall clock, which all machines of a lab share.
pub(super) type Nanos = u64;

/// Between two looks for files.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Now by that clock.
pub(super) fn wall() -> Nanos {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(now.as_nanos()).unwrap_or(Nanos::MAX)
}

/// An instance said that it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    at: Nanos,
    epoch: u32,
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let (at, epoch) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { at, epoch })
    }
}

/// Everything that was said, in the order of its time.
#[derive(Debug, Clone, Default)]
pub(super) struct Testimony {
    lines: Vec<Line>,
}

impl Testimony {
    /// What was said.
    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many lines of an earlier epoch come after the first one of a later, from a line on.
    pub(super) fn two_at_once(&self, from: usize) -> usize {
        let mut highest = 0;
        let late = self.lines.iter().skip(from).filter(|line| {
            highest = highest.max(line.epoch);
            line.epoch < highest
        });
        late.count()
    }

    /// The epoch that ran at a moment.
    pub(super) fn epoch_before(&self, at: Nanos) -> Option<u32> {
        self.lines.iter().rfind(|line| line.at <= at).map(|line| line.epoch)
    }

    /// When a later epoch was first heard of.
    pub(super) fn first_after(&self, epoch: u32) -> Option<Nanos> {
        self.lines.iter().find(|line| line.epoch > epoch).map(|line| line.at)
    }

    /// The longest time without a line between two moments.
    pub(super) fn longest_pause(&self, from: Nanos, to: Nanos) -> Nanos {
        let within = self.lines.iter().map(|line| line.at).filter(|at| (from..=to).contains(at));
        let mut last = from;
        let mut longest = 0;
        for at in within.chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }
}

/// A file of an instance, and what was read of it.
struct Source {
    file: BufReader<File>,
    rest: String,
}

impl Source {
    /// Whole lines that are new.
    fn read(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        while self.file.read_line(&mut self.rest).is_ok_and(|count| count > 0) {
            if self.rest.ends_with('\n') {
                lines.extend(Line::read(self.rest.trim_end()));
                self.rest.clear();
            }
        }
        lines
    }
}

#[derive(Default)]
struct Heard {
    sources: BTreeMap<(u64, u64), Source>,
    testimony: Testimony,
}

/// Who listens to all of them.
pub(super) struct Witness {
    file: String,
    ending: Arc<AtomicBool>,
    finder: Option<JoinHandle<()>>,
    heard: Arc<Mutex<Heard>>,
}

impl Witness {
    /// Begins to look for files.
    pub(super) fn start() -> Self {
        let file = format!("/data/witness-{}", std::process::id());
        let (ending, heard) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (end, kept, name) = (ending.clone(), Arc::clone(&heard), file.clone());
        let finder = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                find(&name, &kept);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { file, ending, finder: Some(finder), heard }
    }

    /// The file that instances are to write.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// What was said so far.
    pub(super) fn testimony(&self) -> Testimony {
        let mut heard = self.heard.lock();
        let Heard { sources, testimony } = &mut *heard;
        testimony.lines.extend(sources.values_mut().flat_map(Source::read));
        testimony.lines.sort();
        testimony.clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(finder) = self.finder.take() {
            // It only looked.
            let _ = finder.join();
        }
    }
}

/// Opens the files of those who write now. An open one outlives its container and its host.
fn find(file: &str, heard: &Mutex<Heard>) {
    let variable = format!("HELLO_WITNESS={file}");
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        if name.trim() == "hello" && says(&process, &variable) {
            let path: PathBuf = process.join("root").join(file.trim_start_matches('/'));
            let Ok(found) = File::open(path) else { continue };
            let Ok(metadata) = found.metadata() else { continue };
            let source = || Source { file: BufReader::new(found), rest: String::new() };
            let key = (metadata.dev(), metadata.ino());
            heard.lock().sources.entry(key).or_insert_with(source);
        }
    }
}

/// Whether a process was started with that variable.
fn says(process: &Path, variable: &str) -> bool {
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn testimony(lines: &[(Nanos, u32)]) -> Testimony {
        Testimony {
            lines: lines.iter().map(|(at, epoch)| Line { at: *at, epoch: *epoch }).collect(),
        }
    }

    #[test]
    fn two_are_told_by_a_line_of_the_earlier_one_after_the_later_began() {
        let good = testimony(&[(1, 1), (2, 1), (9, 2), (10, 2)]);
        assert_eq!(good.two_at_once(0), 0);
        assert_eq!((good.epoch_before(8), good.first_after(1)), (Some(1), Some(9)));
        assert_eq!((good.epoch_before(0), good.first_after(2)), (None, None));
        let bad = testimony(&[(1, 1), (9, 2), (10, 1), (11, 2), (12, 1)]);
        assert_eq!(bad.two_at_once(0), 2);
        assert_eq!(bad.two_at_once(3), 1);
    }

    #[test]
    fn a_pause_is_also_one_at_the_beginning_or_the_end() {
        let lines = testimony(&[(5, 1), (20, 1), (22, 1)]);
        assert_eq!(lines.longest_pause(4, 23), 15);
        assert_eq!(lines.longest_pause(4, 90), 68);
        assert_eq!(lines.longest_pause(19, 22), 2);
        assert_eq!(lines.longest_pause(30, 90), 60);
    }

    #[test]
    fn half_a_line_waits_for_its_rest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("witness");
        let mut written = File::create(&path).unwrap();
        let mut source =
            Source { file: BufReader::new(File::open(&path).unwrap()), rest: String::new() };
        written.write_all(b"12 3 a\n14 ").unwrap();
        assert_eq!(source.read(), [Line { at: 12, epoch: 3 }]);
        written.write_all(b"3 a\nnonsense\n").unwrap();
        assert_eq!(source.read(), [Line { at: 14, epoch: 3 }]);
        assert_eq!(source.read(), []);
    }
}
