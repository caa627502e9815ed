//! The client that fills packets: large bodies both ways at once, each way on connections of its
//! own that are kept. It is a process of its own, started where the packets are to come from, and
//! writes how far it is.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Nanos, now};

/// Connections each way.
const EACH_WAY: usize = 2;

/// The length of a body.
const BODY: u64 = 64 << 20;

/// What is read and written at once.
const PIECE: usize = 64 << 10;

/// How long nothing may move.
const WITHIN: Duration = Duration::from_secs(5);

/// Between two lines.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How far a client is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filled {
    /// When.
    pub(crate) at: Nanos,
    /// Bytes of bodies that came.
    pub(crate) down: u64,
    /// Bytes of bodies that were sent, and taken as far as the kernel's buffers.
    pub(crate) up: u64,
    /// Requests that failed.
    pub(crate) errors: u64,
    /// How the last one did.
    pub(crate) error: String,
}

#[derive(Debug, Default)]
struct Counts {
    down: AtomicU64,
    up: AtomicU64,
    errors: AtomicU64,
    error: Mutex<String>,
}

/// Fills packets until this process is killed; each line on standard output says how far it is.
pub(crate) fn fill(target: SocketAddrV4) -> Result<()> {
    let counts = Arc::new(Counts::default());
    for way in [down, up] {
        for _ in 0..EACH_WAY {
            let counts = counts.clone();
            std::thread::spawn(move || {
                loop {
                    let Err(error) = way(target, &counts) else { continue };
                    counts.errors.fetch_add(1, Ordering::Relaxed);
                    *counts.error.lock() = format!("{error:#}");
                    std::thread::sleep(TELL_EVERY);
                }
            });
        }
    }
    loop {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let far = Filled {
            at: now(),
            down: count(&counts.down),
            up: count(&counts.up),
            errors: count(&counts.errors),
            error: counts.error.lock().clone(),
        };
        let mut line = serde_json::to_vec(&far).context("write a line")?;
        line.push(b'\n');
        std::io::stdout().write_all(&line).context("print a line")?;
        std::thread::sleep(TELL_EVERY);
    }
}

fn connect(target: SocketAddrV4) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&target.into(), WITHIN).context("connect")?;
    stream.set_read_timeout(Some(WITHIN)).context("limit reading")?;
    stream.set_write_timeout(Some(WITHIN)).context("limit writing")?;
    Ok(BufReader::with_capacity(PIECE, stream))
}

/// Takes bodies on one connection until it fails.
fn down(target: SocketAddrV4, counts: &Counts) -> Result<()> {
    let mut stream = connect(target)?;
    loop {
        let request = format!("GET /bytes?n={BODY} HTTP/1.1\r\nHost: inside\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).context("ask")?;
        let length = head(&mut stream)?;
        ensure!(length == BODY, "a body of {length} bytes");
        let mut left = BODY;
        while left > 0 {
            let there = stream.fill_buf().context("receive")?.len();
            ensure!(there > 0, "closed {left} bytes before the end");
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            stream.consume(taken);
            left -= taken as u64;
            counts.down.fetch_add(taken as u64, Ordering::Relaxed);
        }
    }
}

/// Sends bodies on one connection until it fails; who takes them says how much arrived.
fn up(target: SocketAddrV4, counts: &Counts) -> Result<()> {
    let mut stream = connect(target)?;
    let piece = vec![b'x'; PIECE];
    loop {
        let request =
            format!("POST /upload HTTP/1.1\r\nHost: inside\r\nContent-Length: {BODY}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes()).context("ask")?;
        let mut left = BODY;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let sent = stream.get_mut().write(&piece[..most]).context("send")?;
            ensure!(sent > 0, "closed {left} bytes before the end");
            left -= sent as u64;
            counts.up.fetch_add(sent as u64, Ordering::Relaxed);
        }
        let length = head(&mut stream)?;
        let mut text = String::new();
        stream.by_ref().take(length).read_to_string(&mut text).context("receive")?;
        ensure!(text.trim() == BODY.to_string(), "{} bytes arrived", text.trim());
    }
}

/// Reads the head of a good answer; gives the length of its body.
fn head(stream: &mut impl BufRead) -> Result<u64> {
    let mut lines = stream.by_ref().take(8 << 10).lines();
    let status = lines.next().context("no answer")?.context("receive")?;
    ensure!(status.split(' ').nth(1) == Some("200"), "{status}");
    let mut length = None;
    for line in lines {
        let line = line.context("receive")?;
        if line.is_empty() {
            return length.context("an answer without a length");
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    anyhow::bail!("closed within a head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_to_their_end_and_no_further() {
        let mut text = "HTTP/1.1 200 OK\r\ncontent-Length: 3\r\nx: y\r\n\r\nabc".as_bytes();
        assert_eq!(head(&mut text).unwrap(), 3);
        assert_eq!(text, b"abc");
        for bad in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 x\r\n\r\n"]
        {
            assert!(head(&mut bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
