//! One supervisor per data directory. The lock is a file that server and agent hold open too (as
//! their standard input), so it is free only when all three have ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit::Exit;
use crate::failure::Failure;

/// How long the server and agent of a supervisor that was killed may take to end. An ephemeral
/// agent removes its containers meanwhile.
const LEFT_OVER_WITHIN: Duration = Duration::from_secs(40);

/// Makes the data directory where it is missing. Others may pass through it (containers reach
/// their layers), but not look into it.
pub(super) fn make_directory(data: &Path) -> Result<PathBuf, Failure> {
    let doing = || format!("make the data directory {}", data.display());
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(data)
        .map_err(|e| Failure::io(doing(), &e))?;
    let data = data.canonicalize().map_err(|e| Failure::io(doing(), &e))?;
    if data.to_str().is_none() {
        return Err(Failure::invalid(format!("{}: its path is not valid UTF-8", doing())));
    }
    Ok(data)
}

/// Takes the directory, waiting for what a killed supervisor left to end.
pub(super) fn take(data: &Path) -> Result<File, Failure> {
    let path = data.join("lock");
    let doing = || format!("take the data directory {}", data.display());
    let failed = |e: std::io::Error| Failure::io(doing(), &e);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let begin = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(failed(e)),
            Err(TryLockError::WouldBlock) => {}
        }
        let holder = holder(&mut lock);
        if holder.is_some_and(alive) || begin.elapsed() > LEFT_OVER_WITHIN {
            let who = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let message = format!("{}: freehold runs on it already{who}", doing());
            return Err(Failure::new(Exit::InUse, message)
                .hint("stop that one first, or give another directory with --data"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    lock.set_len(0).map_err(failed)?;
    lock.rewind().map_err(failed)?;
    write!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

fn holder(lock: &mut File) -> Option<i32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_by_name_and_the_next_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let data = make_directory(&dir.path().join("a/b")).unwrap();
        let first = take(&data).unwrap();
        let refused = take(&data).unwrap_err();
        assert_eq!(refused.exit, Exit::InUse);
        assert!(refused.message.contains(&std::process::id().to_string()), "{}", refused.message);
        drop(first);
        take(&data).unwrap();
    }

    #[test]
    fn what_a_killed_one_left_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let data = make_directory(dir.path()).unwrap();
        let mut first = take(&data).unwrap();
        // A process that has ended holds the name, a child of it the lock.
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        first.rewind().unwrap();
        first.set_len(0).unwrap();
        write!(first, "{}", ended.id()).unwrap();
        let child = std::process::Command::new("cat")
            .stdin(first)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child);
        take(&data).unwrap();
    }
}
