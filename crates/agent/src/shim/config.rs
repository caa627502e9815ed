//! What a shim needs to know for as long as it lives: little, since it stays in its memory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::{BoottimeMs, LogOptions, Signal};

/// Written by the agent beside the container's spec, which only the creating child reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShimConfig {
    /// Where the kernel counts out-of-memory kills.
    pub(crate) oom_file: Option<PathBuf>,
    /// Where output goes.
    pub(crate) log: LogOptions,
    /// What the command is asked to stop with.
    pub(crate) stop_signal: Signal,
    /// Grace when the shim itself is told to end (SIGTERM), in milliseconds.
    pub(crate) stop_grace_ms: u64,
    /// A singleton's first deadline.
    pub(crate) deadline: Option<BoottimeMs>,
}
