//! Reading HTTP/1.1 requests (RFC 9112): heads and body framing as pure functions of bytes. Must
//! refuse whatever two readers could understand differently.

/// The longest request head, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// A request's first line and fields, borrowed from the connection's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The method as it was sent.
    pub(crate) method: &'a str,
    /// The target up to `?`.
    pub(crate) path: &'a str,
    /// What follows `?`, or nothing.
    pub(crate) query: &'a str,
    /// Whether the connection may carry another request.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether plain text is asked for.
    pub(crate) wants_text: bool,
    /// How the body ends.
    pub(crate) body: Body,
    /// The head as it was sent, without the empty line.
    pub(crate) text: &'a str,
}

/// What is still to come of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes; 0 is the end.
    Length(u64),
    /// A chunk's size line comes next.
    ChunkSize,
    /// So many bytes of a chunk, then its line break.
    Chunk(u64),
    /// Trailer lines up to an empty one.
    Trailer,
}

impl Body {
    /// Whether nothing more comes.
    pub(crate) fn is_done(self) -> bool {
        self == Body::Length(0)
    }
}

/// Bytes that are no request; the number is the status to answer before closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) u16);

const BAD_REQUEST: Malformed = Malformed(400);

/// Reads a head from the start of `input`: the head and its length, or `None` when it is not
/// whole yet.
pub(crate) fn parse_head(input: &[u8]) -> Result<Option<(Head<'_>, usize)>, Malformed> {
    let searched = &input[..input.len().min(MAX_HEAD_BYTES)];
    let Some(end) = searched.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() >= MAX_HEAD_BYTES { Err(Malformed(431)) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&input[..end]).map_err(|_| BAD_REQUEST)?;
    let (line, fields) = text.split_once("\r\n").unwrap_or((text, ""));
    let mut words = line.split(' ');
    let (method, target, version) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, version),
        _ => return Err(BAD_REQUEST),
    };
    let newer = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Malformed(505)),
    };
    if !is_token(method) || !target.starts_with('/') || target.contains(|c: char| c.is_control()) {
        return Err(BAD_REQUEST);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let head = Head {
        method,
        path,
        query,
        keep_alive: newer,
        expects_continue: false,
        wants_text: false,
        body: Body::Length(0),
        text,
    };
    parse_fields(head, fields).map(|head| Some((head, end + 4)))
}

fn parse_fields<'a>(mut head: Head<'a>, fields: &str) -> Result<Head<'a>, Malformed> {
    let (mut length, mut chunked) = (None, false);
    for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(':').ok_or(BAD_REQUEST)?;
        let value = value.trim_matches([' ', '\t']);
        if !is_token(name) || value.contains(['\r', '\n', '\0']) {
            return Err(BAD_REQUEST);
        }
        if name.eq_ignore_ascii_case("connection") {
            for option in value.split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    head.keep_alive = false;
                }
            }
        } else if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            let given = value.parse::<u64>().ok().filter(|_| digits).ok_or(BAD_REQUEST)?;
            if length.replace(given).is_some() {
                return Err(BAD_REQUEST);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(Malformed(501));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if name.eq_ignore_ascii_case("accept") {
            head.wants_text = value.starts_with("text/plain");
        }
    }
    head.body = match (chunked, length) {
        // Both together are how requests are smuggled (RFC 9112 §6.1).
        (true, Some(_)) => return Err(BAD_REQUEST),
        (true, None) => Body::ChunkSize,
        (false, length) => Body::Length(length.unwrap_or(0)),
    };
    Ok(head)
}

/// The longest line of chunk framing.
const MAX_CHUNK_LINE_BYTES: usize = 256;

/// Reads on in a body: the new state, how many bytes of `input` were used, and how many of these
/// were content. Uses nothing when more input is needed.
pub(crate) fn advance_body(body: Body, input: &[u8]) -> Result<(Body, usize, u64), Malformed> {
    let taken = |left: u64| left.min(input.len() as u64);
    match body {
        Body::Length(left) => {
            let take = taken(left);
            Ok((Body::Length(left - take), usize_of(take), take))
        }
        Body::Chunk(0) => match input {
            [b'\r', b'\n', ..] => Ok((Body::ChunkSize, 2, 0)),
            [] | [b'\r'] => Ok((body, 0, 0)),
            _ => Err(BAD_REQUEST),
        },
        Body::Chunk(left) => {
            let take = taken(left);
            Ok((Body::Chunk(left - take), usize_of(take), take))
        }
        Body::ChunkSize => {
            let Some(line) = line(input)? else { return Ok((body, 0, 0)) };
            let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
            let valid =
                (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| valid).ok_or(BAD_REQUEST)?;
            let size = u64::from_str_radix(digits, 16).map_err(|_| BAD_REQUEST)?;
            let next = if size == 0 { Body::Trailer } else { Body::Chunk(size) };
            Ok((next, line.len() + 2, 0))
        }
        Body::Trailer => match line(input)? {
            None => Ok((body, 0, 0)),
            Some([]) => Ok((Body::Length(0), 2, 0)),
            Some(line) => Ok((Body::Trailer, line.len() + 2, 0)),
        },
    }
}

fn usize_of(part_of_input: u64) -> usize {
    usize::try_from(part_of_input).expect("not more than the input's length")
}

fn line(input: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let searched = &input[..input.len().min(MAX_CHUNK_LINE_BYTES)];
    match searched.windows(2).position(|two| two == b"\r\n") {
        Some(end) => Ok(Some(&input[..end])),
        None if input.len() >= MAX_CHUNK_LINE_BYTES => Err(BAD_REQUEST),
        None => Ok(None),
    }
}

/// Whether all characters may stand in a method or field name (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<(Head<'_>, usize)>, Malformed> {
        parse_head(text.as_bytes())
    }

    #[test]
    fn a_usual_request_is_read() {
        let text = "GET /slow?ms=5 HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\nrest";
        let (head, used) = read(text).unwrap().unwrap();
        assert_eq!((head.method, head.path, head.query), ("GET", "/slow", "ms=5"));
        assert!(head.keep_alive && head.wants_text && head.body.is_done());
        assert_eq!(&text[used..], "rest");
    }

    #[test]
    fn connections_end_when_asked() {
        for (text, keep) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nconnection: x, Close\r\n\r\n", false),
        ] {
            assert_eq!(read(text).unwrap().unwrap().0.keep_alive, keep, "{text:?}");
        }
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (text, status) in [
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET x HTTP/1.1\r\n\r\n", 400),
            ("G(T / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nname : x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\na: x\ny: z\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\ncontent-length:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        ] {
            assert_eq!(read(text), Err(Malformed(status)), "{text:?}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let long = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(MAX_HEAD_BYTES));
        assert_eq!(read(&long), Err(Malformed(431)));
    }

    /// Feeds `wire` in pieces and gives the content's length and what was left over.
    fn drain(mut body: Body, wire: &[u8], piece: usize) -> Result<(u64, usize), Malformed> {
        let (mut from, mut to, mut content) = (0, 0, 0);
        while !body.is_done() {
            let (next, used, more) = advance_body(body, &wire[from..to])?;
            assert!(used <= to - from && more <= used as u64);
            if used == 0 && next == body {
                assert!(to < wire.len(), "ran out of input in {body:?}");
                to = (to + piece).min(wire.len());
            }
            (body, from, content) = (next, from + used, content + more);
        }
        Ok((content, wire.len() - from))
    }

    #[test]
    fn broken_chunks_are_refused() {
        for wire in ["\r\n", "x\r\n", "-1\r\n", "0x1\r\n", "1\r\nab\r\n", "fffffffffffffffff\r\n"] {
            assert!(drain(Body::ChunkSize, wire.as_bytes(), 99).is_err(), "{wire:?}");
        }
        assert!(drain(Body::ChunkSize, "1".repeat(300).as_bytes(), 99).is_err());
    }

    proptest! {
        #[test]
        fn chunks_are_read_however_they_arrive(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            trailer in prop::sample::select(vec!["", "a: b\r\n"]),
            piece in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(format!("0\r\n{trailer}\r\nnext").bytes());
            let total: usize = chunks.iter().map(Vec::len).sum();
            prop_assert_eq!(drain(Body::ChunkSize, &wire, piece), Ok((total as u64, 4)));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_head(&bytes);
            let ended = [bytes.as_slice(), b"\r\n\r\n"].concat();
            prop_assert!(parse_head(&ended) != Ok(None));
            for body in [Body::ChunkSize, Body::Chunk(9), Body::Trailer, Body::Length(7)] {
                let _ = advance_body(body, &bytes);
            }
        }
    }
}
