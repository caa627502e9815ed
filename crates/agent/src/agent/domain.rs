//! The failure domain as a command of the operator's finds it out: asked at start and again and
//! again, since a virtual machine may be moved. A command that fails leaves what was known.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use api::about::About;
use api::host::DomainPath;
use api::id::HostId;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::failure::told;
use crate::state::Keeper;

/// The most that is read of what the command says: a path has 400 characters at most.
const OUTPUT_BYTES: u64 = 4096;

/// How to find the failure domain out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainCommand {
    /// Run by `sh -c`; what it prints is the path, outermost domain first.
    pub command: String,
    /// How often it is run.
    pub every: Duration,
    /// How long it may take.
    pub within: Duration,
}

impl DomainCommand {
    /// How often it is run when nothing else is said.
    pub const EVERY: Duration = Duration::from_secs(30);
    /// How long it may take when nothing else is said.
    pub const WITHIN: Duration = Duration::from_secs(10);
}

/// Why the command gave no failure domain.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// It could not be started, or not be read.
    #[error("run the command for the failure domain")]
    Run(#[source] std::io::Error),
    /// It took too long and was killed.
    #[error("run the command for the failure domain: no end within {0:?}")]
    Late(Duration),
    /// It failed.
    #[error("run the command for the failure domain: {status}{said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said on standard error, with what goes before.
        said: String,
    },
    /// What it printed is no path.
    #[error("read what the command for the failure domain printed")]
    Output(#[from] api::id::InvalidName),
    /// It printed more than one line, or none.
    #[error("read what the command for the failure domain printed: not one line")]
    Lines,
}

/// Runs the command once.
///
/// # Errors
/// [`DomainError`]
pub async fn find_domain(asked: &DomainCommand, host: &HostId) -> Result<DomainPath, DomainError> {
    let mut child = Command::new("sh")
        .args(["-c", &asked.command])
        .env("FREEHOLD_HOST", host.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(DomainError::Run)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (out, err, status) = tokio::join!(read(out), read(err), child.wait());
        Ok::<_, std::io::Error>((out?, err?, status?))
    };
    let Ok(run) = timeout(asked.within, run).await else {
        // With whatever it has started.
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        return Err(DomainError::Late(asked.within));
    };
    let (out, err, status) = run.map_err(DomainError::Run)?;
    if !status.success() {
        let said: String = err.trim().chars().take(200).collect();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        return Err(DomainError::Failed { status, said });
    }
    let mut lines = out.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.parse()?),
        _ => Err(DomainError::Lines),
    }
}

/// What comes, up to the most that is kept; the rest is read and passed over, so that nobody waits
/// for a full pipe.
async fn read(from: Option<impl AsyncRead + Unpin>) -> Result<String, std::io::Error> {
    let Some(mut from) = from else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut from).take(OUTPUT_BYTES).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Asks again and again, and says what it finds; runs until dropped.
pub(super) async fn watch_domain(
    asked: DomainCommand,
    host: HostId,
    keeper: Keeper<DomainPath>,
    about: watch::Sender<About>,
) {
    loop {
        let found = find_domain(&asked, &host).await;
        let problem = match &found {
            Ok(_) => String::new(),
            Err(error) => {
                tracing::warn!(error = told(error), "the failure domain stays as it was");
                told(error)
            }
        };
        about.send_if_modified(|about| {
            let before = (about.place.domain.clone(), about.domain_problem.clone());
            if let Ok(domain) = found {
                if about.place.domain.as_ref() != Some(&domain) {
                    tracing::info!(%domain, "this host stands in another failure domain");
                    keeper.keep(std::sync::Arc::new(domain.clone()));
                }
                about.place.domain = Some(domain);
            }
            about.domain_problem = problem;
            before != (about.place.domain.clone(), about.domain_problem.clone())
        });
        sleep(asked.every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(command: &str) -> Result<DomainPath, DomainError> {
        let asked = DomainCommand {
            command: command.to_owned(),
            every: DomainCommand::EVERY,
            within: Duration::from_millis(500),
        };
        find_domain(&asked, &"h1".parse().unwrap()).await
    }

    #[tokio::test]
    async fn only_one_line_with_a_path_is_a_domain() {
        let path = found("echo \"zone-a/rack-$FREEHOLD_HOST/ \"").await.unwrap();
        assert_eq!(path.to_string(), "zone-a/rack-h1");
        assert_eq!(found("printf '\\nhv-1\\n\\n'").await.unwrap().to_string(), "hv-1");
        for (command, part) in [
            ("echo 'a b'", "failure domain"),
            ("echo a; echo b", "not one line"),
            ("true", "not one line"),
            ("echo lost >&2; exit 3", "exit status: 3: lost"),
            ("yes a/b/c | head -c 1000000", "not one line"),
            ("no-such-program-at-all", "127"),
        ] {
            let error = told(&found(command).await.unwrap_err());
            assert!(error.contains(part), "{command}: {error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("pid");
        let command = format!("sleep 1000 & echo $! > {}; wait", mark.display());
        assert!(matches!(found(&command).await, Err(DomainError::Late(_))));
        let pid = std::fs::read_to_string(mark).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Killed at once; init reaps it a moment later.
        for _ in 0..1000 {
            match std::fs::read_to_string(&stat) {
                Ok(text) if !text.contains(" Z ") => tokio::task::yield_now().await,
                _ => return,
            }
        }
        panic!("the child of a command outlives it: {}", pid.trim());
    }
}
