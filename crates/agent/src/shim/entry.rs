//! The hidden role `shim --bundle DIR`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::protocol::send;
use super::supervise::{Outcome, Shim};
use super::sys;

/// Runs a shim until its container has ended. Arguments are those after `shim`.
///
/// Standard output must be a pipe on which the outcome of creating the container is awaited, as one
/// frame of the shim's protocol; it is let go of afterwards.
#[must_use]
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(bundle) = bundle(args) else {
        eprintln!("usage: shim --bundle DIR");
        return ExitCode::from(2);
    };
    let run = Shim::new(&bundle).and_then(Shim::run);
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let what = format!("running the shim in {}: {error}", bundle.display());
            // Before the outcome was told this is heard; afterwards output leads nowhere.
            let _ = send(&mut std::io::stdout(), &Outcome::Failed { what, retryable: true });
            let _ = sys::forget_stdio();
            ExitCode::FAILURE
        }
    }
}

fn bundle(mut args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let flag = args.next()?;
    let dir = args.next()?;
    (flag == "--bundle" && args.next().is_none() && Path::new(&dir).is_absolute())
        .then(|| PathBuf::from(dir))
}
