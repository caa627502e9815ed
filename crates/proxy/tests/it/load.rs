//! Clients: a raw one for single requests, and steady load that counts what fails.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::world::PATIENCE;

/// A response as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection that sends bytes as given and reads responses with a length or chunks.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one response; an error when the connection ends before it does.
    pub(crate) fn response(&mut self) -> io::Result<Raw> {
        let mut head = String::new();
        loop {
            let start = head.len();
            if self.reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if &head[start..] == "\r\n" {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status: u16 = status.ok_or_else(|| io::Error::other(head.clone()))?;
        let mut raw = Raw { status, head, body: String::new() };
        let mut body = Vec::new();
        if let Some(length) = raw.header("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.reader.read_exact(&mut body)?;
        } else if raw.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut line = String::new();
                self.reader.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                let at = body.len();
                body.resize(at + size + 2, 0);
                self.reader.read_exact(&mut body[at..])?;
                body.truncate(at + size);
                if size == 0 {
                    break;
                }
            }
        }
        raw.body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(raw)
    }

    /// Whatever comes until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end as good as any.
        let _ = self.reader.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Exactly so many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

/// One request on a connection of its own, off the test's runtime.
pub(crate) async fn ask(address: SocketAddr, request: impl Into<Vec<u8>>) -> Raw {
    let request = request.into();
    let ask = move || {
        let mut wire = Wire::connect(address).unwrap();
        wire.send(&request).unwrap();
        wire.response().unwrap()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// A GET with a host.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Raw {
    ask(address, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
}

/// Runs a tool; `None` (and says so) where it is not installed.
pub(crate) async fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    let (name, arguments) = (name.to_owned(), arguments.iter().map(|a| (*a).to_owned()));
    let arguments: Vec<String> = arguments.collect();
    let run = move || match Command::new(&name).args(&arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: {name} does not run here: {error}");
            None
        }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What steady load met.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ok: AtomicU64,
    /// Errors left after the repetition that RFC 9110 §9.2.2 allows a client.
    pub(crate) failed: AtomicU64,
    /// Connections that ended under a request.
    pub(crate) broken: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Steady load of GETs from several threads until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) tally: Arc<Tally>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    /// `keep_alive`: a connection each; otherwise a new one for every request.
    pub(crate) fn start(address: SocketAddr, threads: usize, keep_alive: bool) -> Self {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let start = |_| {
            let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
            std::thread::spawn(move || steady(address, keep_alive, &stop, &tally))
        };
        let threads = (0..threads).map(start).collect();
        Self { stop, tally, threads }
    }

    pub(crate) fn done(&self) -> u64 {
        self.tally.ok.load(Ordering::SeqCst) + self.tally.failed.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have ended.
    pub(crate) async fn reach(&self, requests: u64) {
        let mut last = (self.done(), std::time::Instant::now());
        while self.done() < requests {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.done() != last.0 {
                last = (self.done(), std::time::Instant::now());
            }
            assert!(last.1.elapsed() < PATIENCE, "the load stands still: {:?}", self.tally);
        }
    }

    /// Stops after the requests under way. Off the test's runtime, in which instances live.
    pub(crate) async fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::SeqCst);
        let threads = self.threads;
        let join = move || threads.into_iter().for_each(|thread| thread.join().unwrap());
        tokio::task::spawn_blocking(join).await.unwrap();
        self.tally
    }
}

fn steady(address: SocketAddr, keep_alive: bool, stop: &AtomicBool, tally: &Tally) {
    let mut wire = None;
    while !stop.load(Ordering::SeqCst) {
        let mut result = once(address, keep_alive, &mut wire, tally);
        if result.is_err() {
            tally.broken.fetch_add(1, Ordering::SeqCst);
            wire = None;
            result = once(address, keep_alive, &mut wire, tally);
        }
        match result {
            Ok(200) => tally.ok.fetch_add(1, Ordering::SeqCst),
            other => {
                wire = None;
                eprintln!("a request failed: {other:?}");
                tally.failed.fetch_add(1, Ordering::SeqCst)
            }
        };
    }
}

fn once(
    address: SocketAddr,
    keep_alive: bool,
    held: &mut Option<Wire>,
    tally: &Tally,
) -> io::Result<u16> {
    if held.is_none() {
        let connected = Wire::connect(address);
        if matches!(&connected, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            tally.refused.fetch_add(1, Ordering::SeqCst);
        }
        *held = Some(connected?);
    }
    let wire = held.as_mut().expect("just connected");
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head =
        format!("GET /size/100 HTTP/1.1\r\nhost: a.test\r\nconnection: {connection}\r\n\r\n");
    wire.send(head.as_bytes())?;
    let response = wire.response()?;
    if response.header("connection") == Some("close") || !keep_alive {
        *held = None;
    }
    Ok(response.status)
}
