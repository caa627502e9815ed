//! What all roles have in common as processes: their log, their runtime, how they are told to stop,
//! and that they end with who started them.

use std::process::ExitCode;

use clock::{Clock, OFFSET_VARIABLE};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;
use crate::failure::Failure;

/// What is logged, in the form of `tracing`'s filters; `info` without it.
const LOG_VARIABLE: &str = "FREEHOLD_LOG";

/// Threads of a role's runtime: a control plane waits more than it computes.
const WORKERS: usize = 2;

/// Threads for blocking work at once: files and netlink, 2 MiB of stack reserved each, used by few.
const BLOCKING: usize = 64;

/// Arguments of roles that `up` starts.
#[derive(Debug, clap::Args)]
pub(crate) struct Supervised {
    /// End when this process does
    #[arg(long, value_name = "PID", hide = true)]
    pub supervised_by: Option<i32>,
}

impl Supervised {
    /// Asks the kernel for SIGTERM when the parent dies; ends at once when it has died already.
    pub(super) fn follow(&self) -> Result<(), Failure> {
        let Some(expected) = self.supervised_by else { return Ok(()) };
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|e| Failure::io("follow the supervisor", &e.into()))?;
        if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(expected) {
            let message = format!("follow the supervisor: process {expected} has ended");
            return Err(Failure::new(Exit::Failure, message));
        }
        Ok(())
    }
}

/// The clock of this process.
pub(super) fn clock() -> Result<Clock, Failure> {
    Clock::from_environment().map_err(|error| {
        let hint = format!("set {OFFSET_VARIABLE} to a signed length of time, or not at all");
        Failure::of(Exit::Invalid, &error).hint(hint)
    })
}

/// The same in the terms of certificates.
pub(super) fn time() -> Result<jiff::Timestamp, Failure> {
    Ok(jiff::Timestamp::from_millisecond(clock()?.wall().0).unwrap_or_default())
}

/// Writes log lines to standard error.
pub(super) fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Standard error may be a pipe whose reader was killed.
        .log_internal_errors(false)
        .finish();
    // Only fails when a log is there already.
    let _ = tracing::subscriber::set_global_default(log);
}

/// The runtime of a server or agent.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start the runtime", &e))
}

/// Cancelled by the first SIGTERM or SIGINT. Must be called inside a runtime.
pub(super) fn stop_signal() -> Result<CancellationToken, Failure> {
    let failed = |e: std::io::Error| Failure::io("listen for signals", &e);
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            // Both only wait.
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// The end of a role: its error goes into the log's stream, where `up` finds it.
pub(super) fn finished<E>(result: Result<(), E>) -> Result<ExitCode, Failure>
where
    E: std::error::Error + 'static,
{
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::of(Exit::Failure, &error)),
    }
}
