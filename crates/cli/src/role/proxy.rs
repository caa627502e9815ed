//! The hidden role `proxy`: the ingress process, started by an agent.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use super::process::{finished, start_log};
use crate::failure::Failure;

/// An access log of 64 MiB with three older ones is 256 MiB of disk at most.
const LOG_BYTES: u64 = 64 << 20;
const LOGS_KEPT: u32 = 3;

/// Run the ingress
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the control socket is made
    #[arg(long, value_name = "PATH")]
    pub control: PathBuf,
    /// Worker threads; without it one per core
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Where requests are logged
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
}

/// Runs the ingress until it has drained.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    start_log();
    let log = |path| proxy::AccessLog { path, max_bytes: LOG_BYTES, keep: LOGS_KEPT };
    let options = proxy::Options {
        workers: arguments.workers,
        access_log: arguments.access_log.map(log),
        ..proxy::Options::new(arguments.control)
    };
    finished(proxy::run(&options))
}
