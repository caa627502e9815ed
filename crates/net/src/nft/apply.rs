//! Running `nft`: a script in, whole or not at all; its complaints kept.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::NetlinkError;

/// How much of nft's complaint is kept: its first errors, not one per element.
const COMPLAINT: usize = 4096;

/// A script was not loaded; the kernel's rules are as before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NftError {
    /// `nft` is missing or could not be spoken to.
    #[error("running nft")]
    Run(#[source] io::Error),
    /// `nft` refused.
    #[error("loading packet filter rules: {complaint}")]
    Refused {
        /// What it wrote, shortened.
        complaint: String,
    },
    /// The kernel refused elements.
    #[error("changing elements of the packet filter")]
    Elements(#[from] NetlinkError),
}

/// Loads a script in one transaction into the calling thread's network namespace.
///
/// # Errors
/// When nft is missing or refuses the script.
pub fn apply(script: &str) -> Result<(), NftError> {
    run(&["-f", "-"], script).map(drop)
}

/// Has nft and the kernel check a script without loading it.
pub(crate) fn check_script(script: &str) -> Result<(), NftError> {
    run(&["-c", "-f", "-"], script).map(drop)
}

/// Runs nft with `arguments` and `input`, and gives its output.
pub(crate) fn run(arguments: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env("PATH", search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Run)?;
    let pipe = child.stdin.take().ok_or_else(|| NftError::Run(io::ErrorKind::BrokenPipe.into()))?;
    // nft reads all of its input before it writes anything; an early end shows in its complaint.
    let written = { pipe }.write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(NftError::Run)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let complaint = text.trim().chars().take(COMPLAINT).collect();
        return Err(NftError::Refused { complaint });
    }
    written.map_err(NftError::Run)?;
    Ok(output.stdout)
}

/// The caller's search path and where system tools live when it lacks them.
pub(crate) fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
