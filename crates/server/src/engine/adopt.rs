//! Finding the process that an earlier life of the server started: by what was written down of it,
//! and, had that not been written any more, by the data directory among its arguments.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

const FILE: &str = "process.json";

/// One process of one boot of the machine, never mistaken for another with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) pid: i32,
    /// When it started, in clock ticks since the boot (proc(5), field 22 of `stat`).
    started: u64,
    boot: String,
}

impl Record {
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { pid, started: started(pid)?, boot })
    }

    pub(super) fn save(&self, directory: &Path) -> Result<(), pki::FileError> {
        let text = serde_json::to_vec(self).expect("numbers and text");
        pki::write_atomic(&directory.join(FILE), &text, pki::PRIVATE_MODE)
    }

    fn load(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join(FILE)).ok()?).ok()
    }

    /// A handle on the process, if it is still that one.
    pub(super) fn open(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::NONBLOCK).ok()?;
        // The handle is on whatever has the number now; what it is cannot change any more.
        let now = Self::of(self.pid).ok()?;
        (now == *self).then_some(handle)
    }
}

/// The process that serves `data`, if there is one.
pub(super) fn find(directory: &Path, data: &Path) -> Option<(Record, OwnedFd)> {
    let known = Record::load(directory);
    if let Some(record) = known
        && let Some(handle) = record.open()
    {
        return Some((record, handle));
    }
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| serves(*pid, data)).find_map(|pid| {
        let record = Record::of(pid).ok()?;
        let handle = record.open()?;
        serves(pid, data).then_some((record, handle))
    })
}

fn serves(pid: i32, data: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let wanted = [b"--data-dir".as_slice(), data.as_os_str().as_bytes()];
    arguments.windows(2).any(|pair| pair == wanted)
}

fn started(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it is in brackets and may hold anything; behind it follows field 3. A
    // process that has ended and is not yet reaped counts as gone.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace();
    let gone = matches!(fields.next(), Some("Z" | "X") | None);
    let started = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    started.filter(|_| !gone).ok_or_else(|| io::ErrorKind::NotFound.into())
}
