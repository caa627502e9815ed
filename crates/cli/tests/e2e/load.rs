//! Steady load: requests that may be retried where a client may (RFC 9110 §9.2.2), counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What came of the requests.
#[derive(Default, Debug)]
pub(crate) struct Counts {
    /// Answered with 200.
    pub(crate) good: AtomicU64,
    /// Left with an error after the retries that are allowed.
    pub(crate) failed: AtomicU64,
    /// Connections that ended under a request, whether retried or not.
    pub(crate) socket_errors: AtomicU64,
    /// Connections that were refused.
    pub(crate) refused: AtomicU64,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// Retries of one request: a client that finds its connection closed tries again on a new one.
const RETRIES: u32 = 2;

impl Load {
    /// Starts clients, half of them with keep-alive, until stopped.
    pub(crate) fn start(to: SocketAddr, host: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let threads = (0..clients)
            .map(|number| {
                let client = Client {
                    to,
                    host: host.to_owned(),
                    keep_alive: number % 2 == 0,
                    counts: counts.clone(),
                    connection: None,
                };
                let stop = stop.clone();
                std::thread::spawn(move || client.run(&stop))
            })
            .collect();
        Self { stop, counts, threads }
    }

    pub(crate) fn good(&self) -> u64 {
        self.counts.good.load(Ordering::Relaxed)
    }

    /// Stops and gives (good, failed, socket errors, refused).
    pub(crate) fn finish(self) -> (u64, u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client never panics");
        }
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let counts = &self.counts;
        (get(&counts.good), get(&counts.failed), get(&counts.socket_errors), get(&counts.refused))
    }
}

struct Client {
    to: SocketAddr,
    host: String,
    keep_alive: bool,
    counts: Arc<Counts>,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let good = (0..=RETRIES).any(|_| self.request());
            let count = if good { &self.counts.good } else { &self.counts.failed };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One try; false when it may be made again.
    fn request(&mut self) -> bool {
        match self.exchange() {
            Ok(200) => true,
            Ok(_) => false,
            Err(error) => {
                self.connection = None;
                let count = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => &self.counts.refused,
                    _ => &self.counts.socket_errors,
                };
                count.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn exchange(&mut self) -> std::io::Result<u16> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.to, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            self.connection = Some(BufReader::new(stream));
        }
        let reader = self.connection.as_mut().expect("just made");
        let mode = if self.keep_alive { "keep-alive" } else { "close" };
        let request =
            format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: {mode}\r\n\r\n", self.host);
        reader.get_mut().write_all(request.as_bytes())?;
        let (status, length, close) = head(reader)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if close || !self.keep_alive {
            self.connection = None;
        }
        Ok(status)
    }
}

/// Reads an answer's head: status, length of the body, and whether the connection ends.
fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<(u16, usize, bool)> {
    let ended = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no answer");
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(ended());
    }
    let status = line.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(ended)?;
    let (mut length, mut close) = (0, false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(ended());
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            return Ok((status, length, close));
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| ended())?;
        }
        close |= lower == "connection: close";
    }
}
