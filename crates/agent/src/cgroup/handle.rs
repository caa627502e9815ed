//! One container's cgroup: counters, ending everything in it, removing it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::layout::{Controller, Layout, Mode};
use super::parse::{keyed, single};
use crate::runtime::Stats;

/// How long everything in a cgroup may take to die of SIGKILL before that is an error. A process in
/// an uninterruptible wait (dead disk) may take longer; the caller tries again.
const DEATH_WITHIN: Duration = Duration::from_secs(10);

/// The kernel frees a cgroup a moment after its last process has been reaped.
const RETRY_EVERY: Duration = Duration::from_millis(2);

/// Why a cgroup could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file of it could not be read or written.
    #[error("{what} {path}")]
    File {
        /// What we tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Processes did not die in time.
    #[error("{left} processes in {path} survived SIGKILL for {} s", DEATH_WITHIN.as_secs())]
    Survivors {
        /// The cgroup.
        path: PathBuf,
        /// How many.
        left: usize,
    },
}

/// A container's cgroup in every hierarchy it appears in.
#[derive(Clone, Debug)]
pub struct Cgroup {
    mode: Mode,
    controllers: BTreeMap<Controller, PathBuf>,
    dirs: Vec<PathBuf>,
    unified: Option<PathBuf>,
}

impl Cgroup {
    /// The cgroup at `path` (absolute, from the root of each hierarchy).
    #[must_use]
    pub fn at(layout: &Layout, path: &Path) -> Self {
        let below = path.strip_prefix("/").unwrap_or(path);
        let join = |root: &PathBuf| root.join(below);
        Self {
            mode: layout.mode,
            controllers: layout.controllers.iter().map(|(c, root)| (*c, join(root))).collect(),
            dirs: layout.mounts.iter().map(join).collect(),
            unified: layout.unified.as_ref().map(join),
        }
    }

    /// Whether any hierarchy still has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.dirs.iter().any(|dir| dir.exists())
    }

    /// The file the kernel counts out-of-memory kills in (key `oom_kill`).
    #[must_use]
    pub fn oom_file(&self) -> Option<PathBuf> {
        let name = if self.mode == Mode::V2 { "memory.events" } else { "memory.oom_control" };
        Some(self.controllers.get(&Controller::Memory)?.join(name))
    }

    /// Its directory on the version 2 mount, where device programs are attached.
    #[must_use]
    pub fn unified_dir(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Its counters.
    ///
    /// # Errors
    /// It is gone, or a file cannot be read.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let memory_stat = self.read(Controller::Memory, "memory.stat")?;
        let mut stats = match self.mode {
            Mode::V2 => self.stats_v2()?,
            Mode::V1 | Mode::Hybrid => self.stats_v1()?,
        };
        let inactive = keyed(&memory_stat, "total_inactive_file")
            .or_else(|| keyed(&memory_stat, "inactive_file"))
            .unwrap_or(0);
        stats.memory_working_set_bytes = stats.memory_bytes.saturating_sub(inactive);
        stats.pids = single(&self.read(Controller::Pids, "pids.current")?).unwrap_or(0);
        if let Some(file) = self.oom_file() {
            stats.oom_kills = oom_kills(&file);
        }
        Ok(stats)
    }

    fn stats_v1(&self) -> Result<Stats, CgroupError> {
        let throttle = self.read(Controller::Cpu, "cpu.stat")?;
        let usage = match self.controllers.contains_key(&Controller::Cpuacct) {
            true => single(&self.read(Controller::Cpuacct, "cpuacct.usage")?),
            false => None,
        };
        let memory = self.read(Controller::Memory, "memory.usage_in_bytes")?;
        let peak = self.read(Controller::Memory, "memory.max_usage_in_bytes").ok();
        Ok(Stats {
            cpu_ns: usage.unwrap_or(0),
            cpu_periods: keyed(&throttle, "nr_periods").unwrap_or(0),
            cpu_throttled_periods: keyed(&throttle, "nr_throttled").unwrap_or(0),
            cpu_throttled_ns: keyed(&throttle, "throttled_time").unwrap_or(0),
            memory_bytes: single(&memory).unwrap_or(0),
            memory_peak_bytes: peak.and_then(|text| single(&text)),
            ..Stats::default()
        })
    }

    fn stats_v2(&self) -> Result<Stats, CgroupError> {
        let cpu = self.read(Controller::Cpu, "cpu.stat")?;
        let of = |key| keyed(&cpu, key).unwrap_or(0);
        let memory = self.read(Controller::Memory, "memory.current")?;
        let peak = self.read(Controller::Memory, "memory.peak").ok();
        Ok(Stats {
            cpu_ns: of("usage_usec").saturating_mul(1000),
            cpu_periods: of("nr_periods"),
            cpu_throttled_periods: of("nr_throttled"),
            cpu_throttled_ns: of("throttled_usec").saturating_mul(1000),
            memory_bytes: single(&memory).unwrap_or(0),
            memory_peak_bytes: peak.and_then(|text| single(&text)),
            ..Stats::default()
        })
    }

    /// Kills everything in it and waits until it is dead.
    ///
    /// # Errors
    /// Its process lists cannot be read, or something survives.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(dir) = &self.unified {
            // One write ends all at once, forks in flight too; absent before Linux 5.14 and on v1.
            let _ = fs::write(dir.join("cgroup.kill"), "1");
        }
        let until = Instant::now() + DEATH_WITHIN;
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                let path = self.dirs.first().cloned().unwrap_or_default();
                return Err(CgroupError::Survivors { path, left: pids.len() });
            }
            // What forks faster than we read the list is stopped first.
            let frozen = self.freeze("FROZEN");
            for pid in &pids {
                self.kill_if_still_in(*pid);
            }
            if frozen {
                self.freeze("THAWED");
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }

    /// Removes it from every hierarchy, with whatever is nested in it.
    ///
    /// # Errors
    /// It is still busy after 10 s.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let until = Instant::now() + DEATH_WITHIN;
        for dir in &self.dirs {
            loop {
                match remove_tree(dir) {
                    Ok(()) => break,
                    Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < until => {
                        std::thread::sleep(RETRY_EVERY);
                    }
                    Err(source) => {
                        let path = dir.clone();
                        return Err(CgroupError::File { what: "removing", path, source });
                    }
                }
            }
        }
        Ok(())
    }

    /// Every process in it, in any hierarchy and nested group.
    ///
    /// # Errors
    /// A list that exists cannot be read.
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        let mut pids = Vec::new();
        for dir in &self.dirs {
            collect_pids(dir, &mut pids).map_err(|source| CgroupError::File {
                what: "listing processes of",
                path: dir.clone(),
                source,
            })?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// A pid read from a list may be somebody else's a moment later: hold it, look again, then
    /// kill.
    fn kill_if_still_in(&self, pid: u32) {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        let Ok(held) = pidfd_open(raw, PidfdFlags::empty()) else { return };
        if self.pids().is_ok_and(|pids| pids.contains(&pid)) {
            let _ = pidfd_send_signal(&held, Signal::KILL);
        }
    }

    fn freeze(&self, state: &str) -> bool {
        let Some(dir) = self.controllers.get(&Controller::Freezer) else { return false };
        fs::write(dir.join("freezer.state"), state).is_ok()
    }

    fn read(&self, controller: Controller, name: &str) -> Result<String, CgroupError> {
        let dir = self.controllers.get(&controller).cloned().unwrap_or_default();
        let path = dir.join(name);
        fs::read_to_string(&path).map_err(|source| CgroupError::File {
            what: "reading",
            path,
            source,
        })
    }
}

/// Out-of-memory kills counted in a file of [`Cgroup::oom_file`]; 0 when it is gone.
pub(crate) fn oom_kills(file: &Path) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| keyed(&text, "oom_kill")).unwrap_or(0)
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn collect_pids(dir: &Path, pids: &mut Vec<u32>) -> io::Result<()> {
    match fs::read_to_string(dir.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok())),
        // Gone, or gone between looking and reading.
        Err(e) if gone(&e) => return Ok(()),
        Err(e) => return Err(e),
    }
    match children(dir) {
        Ok(dirs) => dirs.iter().try_for_each(|child| collect_pids(child, pids)),
        Err(e) if gone(&e) => Ok(()),
        Err(e) => Err(e),
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    match children(dir) {
        Ok(dirs) => dirs.iter().try_for_each(|child| remove_tree(child))?,
        Err(e) if gone(&e) => return Ok(()),
        Err(e) => return Err(e),
    }
    match fs::remove_dir(dir) {
        Err(e) if !gone(&e) => Err(e),
        _ => Ok(()),
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
