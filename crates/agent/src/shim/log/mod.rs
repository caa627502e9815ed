//! A container's output on disk: numbered lines in files that are closed at a size, of which only
//! the newest few are kept.
//!
//! One line of a file is `NUMBER UNIX_NANOSECONDS STREAM FLAG TEXT`, where STREAM is `o` (output),
//! `e` (errors) or `s` (the shim itself) and FLAG is `F` (a full line) or `P` (a part: the line was
//! longer than [`MAX_LINE`] or has not ended). Numbers begin at 1, have no gaps and go on in the
//! next file, whose name is the number of its first line.

mod entry;
mod rate;
mod read;
mod write;

pub use entry::{LogEntry, LogStream, MAX_LINE};
pub(super) use rate::Bucket;
pub use read::{LogFollower, tail};
pub(super) use write::LogWriter;
