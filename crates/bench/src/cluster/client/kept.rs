//! The client that keeps its connection.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use net::namespace::Namespace;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::ask::ask;
use super::{Sample, now};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(2);
/// Between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(20);
/// Samples that are kept.
const MOST: usize = 100_000;

/// A running client with one connection.
#[derive(Debug)]
pub(crate) struct Kept {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Kept {
    /// Starts to ask `target` for `host`, from a network namespace.
    pub(crate) fn start(namespace: Namespace, target: SocketAddrV4, host: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (stopped, kept) = (stop.clone(), samples.clone());
        let thread = std::thread::spawn(move || {
            let client = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let tell = |sample| kept.lock().push(sample);
                let go_on = || !stopped.load(Ordering::SeqCst) && kept.lock().len() < MOST;
                runtime.map(|runtime| runtime.block_on(keep(target, host, PAUSE, go_on, tell)))
            };
            let inside = namespace.run(client);
            inside.context("enter the lab's network")?.context("start a client")
        });
        Self { stop, samples, thread: Some(thread) }
    }

    /// Stops and gives everything.
    pub(crate) fn stop(mut self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        let samples = std::mem::take(&mut *self.samples.lock());
        Ok(samples)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Asks on one connection, and on another when that broke, as long as `go_on`.
pub(super) async fn keep(
    target: SocketAddrV4,
    host: &str,
    pause: Duration,
    go_on: impl Fn() -> bool,
    mut tell: impl FnMut(Sample),
) {
    let mut stream = None;
    while go_on() {
        let sent = now();
        let asked = async {
            if stream.is_none() {
                let made = TcpStream::connect(target).await;
                let made = made.map_err(|error| format!("connect: {error}"))?;
                let _ = made.set_nodelay(true);
                stream = Some(made);
            }
            match stream.as_mut() {
                Some(stream) => ask(stream, host, true).await,
                None => Err("no connection".to_owned()),
            }
        };
        let outcome = timeout(WITHIN, asked).await;
        let outcome = outcome.unwrap_or_else(|_| Err("timed out".to_owned()));
        if outcome.is_err() {
            stream = None;
        }
        tell(Sample { sent, ended: now(), outcome });
        sleep(pause).await;
    }
}
