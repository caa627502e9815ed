//! From the shim's files to the lines of the protocol.

use std::path::PathBuf;
use std::time::Duration;

use api::id::InstanceId;
use api::protocol::{LogLine, LogRequest};
use api::time::Timestamp;

use crate::link::BodySender;
use crate::shim::log::{LogEntry, LogFollower, LogStream, tail};

/// Lines read at once: of 16 KiB at most, so below 4 MiB.
const AT_ONCE: usize = 256;

/// How often a file that is followed is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The most lines that are given of the past.
const MAX_TAIL: usize = 100_000;

/// A line as it travels.
#[must_use]
pub fn line_of(instance: &InstanceId, entry: &LogEntry) -> LogLine {
    LogLine {
        instance: instance.clone(),
        at: Timestamp(i64::try_from(entry.unix_ns / 1_000_000).unwrap_or(i64::MAX)),
        sequence: entry.seq,
        stderr: entry.stream != LogStream::Out,
        text: String::from_utf8_lossy(&entry.text).into_owned(),
        partial: entry.partial,
    }
}

/// Sends what is asked for: the last lines, then new ones for as long as somebody wants them. Each
/// line is sent once and in order, whatever is rotated meanwhile.
pub async fn stream(request: LogRequest, directory: PathBuf, to: BodySender) {
    let count = usize::try_from(request.tail).unwrap_or(MAX_TAIL).min(MAX_TAIL);
    let begin = {
        let directory = directory.clone();
        blocking(move || tail(&directory, count.max(1))).await
    };
    // Where following begins: at the oldest line that is wanted, or after the newest.
    let first = match begin.as_deref() {
        Some([first, ..]) if count > 0 => first.seq,
        Some([.., newest]) => newest.seq + 1,
        _ => 1,
    };
    let mut follower = LogFollower::from(&directory, first);
    let mut left = if request.follow { usize::MAX } else { begin.map_or(0, |lines| lines.len()) };
    while left > 0 {
        let most = left.min(AT_ONCE);
        let read = tokio::task::spawn_blocking(move || {
            let lines = follower.read(most);
            (follower, lines)
        });
        let Ok((back, lines)) = read.await else { return };
        follower = back;
        let lines = match lines {
            Ok(lines) => lines,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return tracing::warn!(%error, "reading logs"),
        };
        if lines.is_empty() {
            if !request.follow {
                return;
            }
            tokio::select! {
                () = to.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => continue,
            }
        }
        left = if request.follow { left } else { left.saturating_sub(lines.len()) };
        let lines: Vec<LogLine> =
            lines.iter().map(|entry| line_of(&request.instance, entry)).collect();
        if !to.send(&lines).await {
            return;
        }
    }
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(task).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::debug!(%error, "reading logs");
            None
        }
        Err(_) => None,
    }
}
