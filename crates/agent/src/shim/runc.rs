//! The `runc` command as a driver: what libcontainer is measured against, and a way out where it
//! cannot be used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::creator::CreateError;

/// Most of runc's words passed on in an error.
const MAX_WORDS: usize = 2000;

/// Creates and starts the container of a bundle whose `config.json` is written; gives its pid.
pub(super) fn create_and_start(
    bundle: &Path,
    id: &str,
    stdout: Stdio,
    stderr: Stdio,
) -> Result<i32, CreateError> {
    let pid_file = bundle.join("runc.pid");
    let mut create = command(bundle);
    create.args(["create", "--bundle"]).arg(bundle);
    create.arg("--pid-file").arg(&pid_file).arg(id);
    create.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    run(create, "creating the container", bundle)?;
    let mut start = command(bundle);
    start.args(["start", id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    run(start, "starting the container", bundle)?;
    let text = fs::read_to_string(&pid_file)
        .map_err(|source| CreateError::io("reading", &pid_file, source))?;
    text.trim()
        .parse()
        .map_err(|_| CreateError::io("understanding", &pid_file, io::ErrorKind::InvalidData.into()))
}

fn log_file(bundle: &Path) -> PathBuf {
    bundle.join("runc.log")
}

fn command(bundle: &Path) -> Command {
    let mut command = Command::new("runc");
    // The shim has no environment of its own.
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg("--root").arg(bundle.join("runc"));
    command.arg("--log").arg(log_file(bundle)).args(["--log-format", "json"]);
    command
}

fn run(mut command: Command, what: &'static str, bundle: &Path) -> Result<(), CreateError> {
    let status = command
        .status()
        .map_err(|source| CreateError::io("running the command", Path::new("runc"), source))?;
    if status.success() {
        return Ok(());
    }
    let log = fs::read_to_string(log_file(bundle)).unwrap_or_default();
    let words = log.lines().filter_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let bad = entry.get("level").is_some_and(|level| level == "error");
        bad.then(|| entry.get("msg")?.as_str().map(str::to_owned))?
    });
    let words = words.collect::<Vec<_>>().join("; ");
    let words: String = words.chars().take(MAX_WORDS).collect();
    Err(CreateError::Driver { what, words })
}
