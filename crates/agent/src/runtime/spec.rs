//! What to run: one container, complete. Whoever executes it chooses nothing.
//!
//! Must hold no policy: which user, limits and paths are right is decided by the caller.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ContainerId, Limits, Signal};

/// A container to be created. Merging an image's ENTRYPOINT, CMD, ENV and user is the caller's
/// work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its id, unique on this host.
    pub id: ContainerId,
    /// Unpacked layers as they lie on disk (owned by host root), base first. Absolute paths.
    pub layers: Vec<PathBuf>,
    /// The command and its arguments, whole; looked up in the environment's `PATH` when without
    /// `/`.
    pub args: Vec<String>,
    /// `NAME=value`; a `PATH` is added when missing.
    pub env: Vec<String>,
    /// `""`, `user`, `uid`, `user:group` or `uid:gid`; names come from the image's own files.
    pub user: String,
    /// Working directory inside; `""` is `/`. Must exist in the image or be a writable path.
    pub working_dir: String,
    /// Host name inside.
    pub hostname: String,
    /// The network it lives in.
    pub network: NetworkNamespace,
    /// The host ids that the container's ids 0.. are.
    pub id_range: IdRange,
    /// Memory-backed writable directories, counted against the memory limit.
    pub writable: Vec<WritableTmpfs>,
    /// Disk-backed writable directories.
    pub scratch: Vec<Scratch>,
    /// Files and directories of the host to show inside, read-only.
    pub binds: Vec<Bind>,
    /// What it may use.
    pub limits: Limits,
    /// Capabilities it keeps; none is the default and the rule.
    pub capabilities: Vec<Capability>,
    /// Whether our init is pid 1 (reaps zombies, forwards signals); else the command itself is.
    pub init: bool,
    /// What it is asked to stop with.
    pub stop_signal: Signal,
    /// How long it may take to stop when nobody says otherwise, in milliseconds.
    pub stop_grace_ms: u64,
    /// System call filter.
    pub seccomp: SeccompProfile,
    /// Where output goes and how much of it is kept.
    pub log: LogOptions,
    /// A singleton's first deadline (CLOCK_BOOTTIME); the shim kills the container then by itself.
    pub deadline: Option<super::BoottimeMs>,
}

/// The network namespace a container lives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkNamespace {
    /// An existing one, by path (made by the agent's network part).
    Path(PathBuf),
    /// A new one with nothing but a loopback device.
    Isolated,
}

/// A block of host user and group ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The host id that is 0 inside; never 0 itself.
    pub base: u32,
    /// How many ids; 65,536 covers what images use.
    pub len: u32,
}

/// A writable directory in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritableTmpfs {
    /// Where inside; absolute.
    pub path: PathBuf,
    /// Ceiling of its own; none leaves the container's memory limit.
    pub size_bytes: Option<u64>,
}

/// A writable directory on the host's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scratch {
    /// Where inside; absolute.
    pub path: PathBuf,
    /// The directory on the host; made when missing, given to the container's user. With a size
    /// it is a file beside it, of the same name with the extension `ext4`.
    pub source: PathBuf,
    /// Ceiling in bytes, of which a file system of its own takes a few per cent. Where the host
    /// has no loop devices nothing holds it, which is reported when it starts.
    pub size_bytes: Option<u64>,
}

/// Something of the host shown inside, read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// File or directory on the host; absolute.
    pub source: PathBuf,
    /// Where inside; absolute. Made when the image lacks it.
    pub path: PathBuf,
}

/// Capabilities a manifest may ask for; all others are never given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Change owners of files.
    Chown,
    /// Ignore file permissions.
    DacOverride,
    /// Act as owner of any file.
    Fowner,
    /// Keep set-id bits on change.
    Fsetid,
    /// Signal processes of other users inside.
    Kill,
    /// Bind ports below 1024 (every container may already, by sysctl).
    NetBindService,
    /// Change group ids.
    Setgid,
    /// Change user ids.
    Setuid,
}

/// Which system calls are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompProfile {
    /// The allow-list of `runtime::seccomp`.
    #[default]
    Default,
}

/// Which code creates the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    /// libcontainer inside the shim's forked child.
    #[default]
    Libcontainer,
    /// The `runc` command (no init of ours: the command is pid 1).
    Runc,
}

/// Where output goes and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// Directory of this container's log files; made when missing, kept by `delete`.
    pub dir: PathBuf,
    /// A file is closed at this size.
    pub file_bytes: u64,
    /// Files kept, the current one included: `files × file_bytes` bounds the disk used.
    pub files: u32,
    /// Bytes per second taken over a longer time; none is no limit.
    pub rate_bytes_per_s: Option<u64>,
    /// What happens above the rate.
    pub when_slow: WhenSlow,
}

/// What happens to output above the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenSlow {
    /// The writer waits.
    #[default]
    Block,
    /// Lines are dropped, and their number is logged.
    Drop,
}

impl LogOptions {
    /// 4 files of 8 MiB, 8 MiB/s, and a writer that waits.
    #[must_use]
    pub fn in_dir(dir: PathBuf) -> Self {
        Self {
            dir,
            file_bytes: 8 << 20,
            files: 4,
            rate_bytes_per_s: Some(8 << 20),
            when_slow: WhenSlow::Block,
        }
    }
}

impl Capability {
    /// The kernel's name, as in capabilities(7).
    #[must_use]
    pub fn kernel_name(self) -> &'static str {
        match self {
            Self::Chown => "CAP_CHOWN",
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::Fowner => "CAP_FOWNER",
            Self::Fsetid => "CAP_FSETID",
            Self::Kill => "CAP_KILL",
            Self::NetBindService => "CAP_NET_BIND_SERVICE",
            Self::Setgid => "CAP_SETGID",
            Self::Setuid => "CAP_SETUID",
        }
    }

    /// Reads `CAP_CHOWN`, `chown` and the like; none for what may never be given.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let all = [
            Self::Chown,
            Self::DacOverride,
            Self::Fowner,
            Self::Fsetid,
            Self::Kill,
            Self::NetBindService,
            Self::Setgid,
            Self::Setuid,
        ];
        all.into_iter().find(|cap| cap.kernel_name()["CAP_".len()..] == *name)
    }
}
