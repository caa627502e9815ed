//! Processes as the machine that carries the lab sees them. A process is known by its number and
//! the time of its start, since numbers come again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process that may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Ticks since the machine's start (field 22 of proc_pid_stat(5)).
    start: u64,
}

impl Process {
    /// The process that has that number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::shown(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The process that has that number in a `/proc` which was opened earlier: what is mounted
    /// there may be another machine's by now.
    pub(crate) fn within(proc: &fs::File, pid: i32) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let stat = openat(proc, format!("{pid}/stat"), flags, Mode::empty()).ok()?;
        Self::shown(pid, &io::read_to_string(fs::File::from(stat)).ok()?)
    }

    /// What its `stat` says; none of one that has ended.
    fn shown(pid: i32, stat: &str) -> Option<Self> {
        let (state, start) = parsed(stat)?;
        (state != 'Z').then_some(Self { pid, start })
    }

    /// Whether it has not ended; a zombie has.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal, and to no other that got its number; false when it has ended.
    pub(crate) fn signal(self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        self.is_alive() && pidfd_send_signal(&held, signal).is_ok()
    }

    /// Its command line.
    pub(crate) fn words(self) -> Vec<String> {
        let raw = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        raw.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// Whether it runs that role: `freehold ROLE …` (also as `/proc/self/exe`), or a program of
    /// that name.
    pub(crate) fn is_role(self, role: &str) -> bool {
        let words = self.words();
        let program = words.first().and_then(|path| path.rsplit('/').next()).unwrap_or("");
        program == role
            || (matches!(program, "freehold" | "exe") && words.get(1).is_some_and(|it| it == role))
    }
}

/// State and start time of a process.
fn parsed(text: &str) -> Option<(char, u64)> {
    // The name in parentheses may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// All processes whose network namespace is the one bound to `path`, but for this one.
pub(crate) fn in_namespace(path: &Path) -> Vec<Process> {
    let Ok(wanted) = fs::metadata(path) else { return Vec::new() };
    let own = i32::try_from(std::process::id()).ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| Some(*pid) != own)
        .filter(|pid| {
            let of = fs::metadata(format!("/proc/{pid}/ns/net"));
            of.is_ok_and(|of| of.ino() == wanted.ino() && of.dev() == wanted.dev())
        })
        .filter_map(Process::of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_process_is_not_alive_and_gets_no_signal() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id().try_into().unwrap()).unwrap();
        // The kernel shows a program's arguments a moment after it began.
        while !process.is_role("sleep") {
            assert!(process.is_alive());
            std::thread::yield_now();
        }
        assert!(process.is_alive() && !process.is_role("60"));
        assert!(process.signal(Signal::KILL));
        child.wait().unwrap();
        assert!(!process.is_alive() && !process.signal(Signal::KILL));
        let other = Process { start: process.start + 1, ..process };
        assert!(!other.is_alive());
    }
}
