//! Processes that a benchmark starts: each is ended by its own id, on every way out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long a process may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(30);

/// The lines of a log that are shown when something failed.
const TOLD_LINES: usize = 12;

/// A process in the background. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a command; all that it says goes to `NAME.log` in `directory`.
    pub(crate) fn start(command: &mut Command, name: &str, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let output = file.try_clone().context("share a log")?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `look` gives something; fails when the process ends before or that takes too
    /// long.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}: {}", self.name, self.last_words());
            }
            ensure!(
                begun.elapsed() < within,
                "{}: {what} took longer than {within:?}: {}",
                self.name,
                self.last_words()
            );
            sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process has no id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("end {}", self.name))?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < END_WITHIN, "{} does not end", self.name);
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.output())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` gives something.
pub(crate) fn patiently<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < within, "{what} took longer than {within:?}");
        sleep(LOOK_EVERY);
    }
}

/// Runs a command to its good end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_for_text(command).map(drop)
}

/// Runs a command to its good end and gives its output.
pub(crate) fn run_for_text(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {name}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let words = text(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, last_lines(&words));
    }
    Ok(text(&output.stdout))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TOLD_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_last_words() {
        let failed = run(Command::new("sh").args(["-c", "echo gone >&2; exit 3"])).unwrap_err();
        let text = format!("{failed:#}");
        assert!(text.contains("gone") && text.contains('3'), "{text}");
        assert_eq!(run_for_text(Command::new("echo").arg("here")).unwrap(), "here\n");
    }

    #[test]
    fn a_process_that_ends_too_early_is_told_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo last words; exit 1"]);
        let mut early = Running::start(&mut command, "early", directory.path()).unwrap();
        let never = early.until("ready", Duration::from_secs(60), |_| None::<()>);
        let text = format!("{:#}", never.unwrap_err());
        assert!(text.contains("last words") && text.contains("ready"), "{text}");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        let running = Running::start(command.arg("1000"), "sleep", directory.path()).unwrap();
        let pid = running.id();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(running);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
