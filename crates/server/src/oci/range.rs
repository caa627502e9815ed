//! Byte ranges in headers: `Range` of downloads, `Content-Range` of chunks. Pure.

use std::ops::RangeInclusive;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no header, or one that RFC 9110 §14.2 lets us ignore (another unit, malformed,
    /// several ranges).
    Whole,
    /// These bytes; the end is inside.
    Part(RangeInclusive<u64>),
    /// Nothing of it is there.
    Unsatisfiable,
}

/// Reads a `Range` header for something of `size` bytes (RFC 9110 §14.1.2).
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some((unit, set)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Wanted::Whole,
            Some(0) => Wanted::Unsatisfiable,
            Some(_) if size == 0 => Wanted::Unsatisfiable,
            Some(length) => Wanted::Part(size.saturating_sub(length)..=size - 1),
        },
        (first, last) => {
            let Some(start) = number(first) else { return Wanted::Whole };
            let end = match last {
                "" => u64::MAX,
                last => match number(last) {
                    Some(end) if end >= start => end,
                    _ => return Wanted::Whole,
                },
            };
            if start >= size {
                Wanted::Unsatisfiable
            } else {
                Wanted::Part(start..=end.min(size - 1))
            }
        }
    }
}

/// Reads a chunk's `Content-Range`: `<start>-<end>` as the OCI distribution specification has it;
/// `bytes ` before and `/<size>` after, as HTTP has them, are passed over.
pub(super) fn chunk(header: &str) -> Option<RangeInclusive<u64>> {
    let text = header.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (start, end) = text.split_once('-')?;
    let (start, end) = (number(start)?, number(end)?);
    (start <= end && end < u64::MAX).then_some(start..=end)
}

/// Digits only: no sign, no space, no overflow.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_ranges() {
        let check =
            |header: &str, size, expected| assert_eq!(wanted(header, size), expected, "{header}");
        check("bytes=0-3", 10, Wanted::Part(0..=3));
        check("bytes=8-99", 10, Wanted::Part(8..=9));
        check("bytes=4-", 10, Wanted::Part(4..=9));
        check("bytes=-4", 10, Wanted::Part(6..=9));
        check("bytes=-40", 10, Wanted::Part(0..=9));
        check("Bytes=9-9", 10, Wanted::Part(9..=9));
        check("bytes=10-", 10, Wanted::Unsatisfiable);
        check("bytes=-0", 10, Wanted::Unsatisfiable);
        check("bytes=0-", 0, Wanted::Unsatisfiable);
        check("bytes=-1", 0, Wanted::Unsatisfiable);
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=3-1",
            "bytes=a-b",
            "lines=0-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
            "bytes=1-99999999999999999999",
        ] {
            check(ignored, 10, Wanted::Whole);
        }
    }

    #[test]
    fn chunk_ranges() {
        assert_eq!(chunk("0-9"), Some(0..=9));
        assert_eq!(chunk("bytes 5-5/10"), Some(5..=5));
        assert_eq!(chunk("bytes=5-6"), Some(5..=6));
        for bad in [
            "",
            "-",
            "9-0",
            "a-b",
            "1",
            "0--1",
            "-5",
            "5-",
            "0-99999999999999999999",
            "1-18446744073709551615",
            "0x1-2",
        ] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }
}
