//! One line of a log file. Pure.

use std::io::Write as _;

/// Longest text of one entry; longer lines come in parts. 16 KiB is what container logs have long
/// used.
pub const MAX_LINE: usize = 16 << 10;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// The container's standard output.
    Out,
    /// The container's standard error.
    Err,
    /// The shim, about the log itself.
    Shim,
}

/// One line, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number; the next one's is one more.
    pub seq: u64,
    /// When the shim read it, nanoseconds since 1970.
    pub unix_ns: u64,
    /// Where it came from.
    pub stream: LogStream,
    /// Whether more of the same line follows.
    pub partial: bool,
    /// The text without its newline, as the container wrote it (any bytes).
    pub text: Vec<u8>,
}

impl LogStream {
    fn letter(self) -> u8 {
        match self {
            Self::Out => b'o',
            Self::Err => b'e',
            Self::Shim => b's',
        }
    }
}

/// Appends one entry as it stands in a file.
pub(super) fn encode(
    into: &mut Vec<u8>,
    seq: u64,
    unix_ns: u64,
    stream: LogStream,
    partial: bool,
    text: &[u8],
) {
    let _ = write!(into, "{seq} {unix_ns} ");
    into.extend([stream.letter(), b' ', if partial { b'P' } else { b'F' }, b' ']);
    into.extend_from_slice(text);
    into.push(b'\n');
}

/// Reads one line of a file, without its newline.
pub(super) fn decode(line: &[u8]) -> Option<LogEntry> {
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let (seq, unix_ns) = (number()?, number()?);
    let stream = match fields.next()? {
        b"o" => LogStream::Out,
        b"e" => LogStream::Err,
        b"s" => LogStream::Shim,
        _ => return None,
    };
    let partial = match fields.next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(LogEntry { seq, unix_ns, stream, partial, text: fields.next()?.to_vec() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LogEntry, LogStream, decode, encode};

    proptest! {
        #[test]
        fn what_is_written_is_read(
            seq: u64, unix_ns: u64, partial: bool, kind in 0..3usize,
            text in proptest::collection::vec(
                any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..64),
        ) {
            let stream = [LogStream::Out, LogStream::Err, LogStream::Shim][kind];
            let mut line = Vec::new();
            encode(&mut line, seq, unix_ns, stream, partial, &text);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            let want = LogEntry { seq, unix_ns, stream, partial, text };
            prop_assert_eq!(decode(&line), Some(want));
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&line);
        }
    }
}
