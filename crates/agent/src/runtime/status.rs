//! What became of a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ContainerId, Signal};

/// A point in time on CLOCK_BOOTTIME in milliseconds: runs on through suspend, never jumps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BoottimeMs(pub u64);

impl BoottimeMs {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(clock::Clock::machine_up().0)
    }

    /// This time and so many milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A container that was created and whose command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Host pid of the container's pid 1.
    pub pid: u32,
    /// Host pid of its shim.
    pub shim_pid: u32,
    /// When the command had been executed.
    pub at: BoottimeMs,
    /// Limits that were asked for and that this host cannot enforce, in words; usually none.
    pub unenforced: Vec<String>,
}

/// One container as the runtime knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Which container.
    pub id: ContainerId,
    /// Where in its life it is.
    pub phase: Phase,
    /// Its bundle directory.
    pub bundle: PathBuf,
    /// Log lines that were dropped so far (rate, full disk), when the shim lives.
    pub dropped_lines: u64,
}

/// Where in its life a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Being made; or the maker died half-way (then `delete` clears it).
    Creating,
    /// Its command runs.
    Running(Started),
    /// It ended and the shim recorded how.
    Exited(Exit),
    /// Its shim was killed, which kills the container; how it ended is not known.
    Lost,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The cause.
    pub cause: ExitCause,
    /// Why we ended it, when we did.
    pub stopped_by: Option<StopReason>,
    /// Processes of it that the kernel killed for memory during its life.
    pub oom_kills: u64,
    /// When its command had been executed, if it ever was.
    pub started_at: Option<BoottimeMs>,
    /// When it ended.
    pub ended_at: BoottimeMs,
    /// The same in wall time, milliseconds since 1970, for people only.
    pub ended_unix_ms: u64,
}

/// The cause of a container's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// The command returned this code.
    Code(u8),
    /// A signal ended the command.
    Signal(Signal),
    /// The kernel killed the command because the memory limit was reached.
    OutOfMemory,
}

/// Why the shim ended a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked, and it went within its grace.
    Asked,
    /// Somebody asked, and it was killed after its grace.
    GraceOver,
    /// A singleton's deadline passed.
    Deadline,
}

/// Counters of a container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time used, in nanoseconds.
    pub cpu_ns: u64,
    /// Periods in which the ceiling was in force.
    pub cpu_periods: u64,
    /// Periods in which it was throttled.
    pub cpu_throttled_periods: u64,
    /// Time throttled, in nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory in use, in bytes, page cache included.
    pub memory_bytes: u64,
    /// Memory that cannot be reclaimed easily (in use less inactive file pages), in bytes.
    pub memory_working_set_bytes: u64,
    /// Highest use so far, in bytes, where the kernel tells.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads now.
    pub pids: u64,
    /// Processes the kernel killed for memory so far.
    pub oom_kills: u64,
}
