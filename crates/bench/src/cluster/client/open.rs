//! The open client.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use net::namespace::Namespace;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::ask::ask;
use super::{Nanos, Sample, now};

/// How long a request may take; it has failed then.
const WITHIN: Duration = Duration::from_secs(2);

/// Samples that are kept: twenty minutes at the highest rate in use.
const MOST: usize = 300_000;

/// Where requests go, in turn; may change at any time.
pub(crate) type Targets = Arc<Mutex<Arc<Vec<SocketAddrV4>>>>;

/// A running client.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts to ask for `host` every `pause`, from a network namespace.
    pub(crate) fn start(
        namespace: Namespace,
        targets: Targets,
        host: &'static str,
        pause: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let client = Client { targets, host, pause, stop: stop.clone(), samples: samples.clone() };
        let thread = std::thread::spawn(move || {
            let inside = namespace.run(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map(|runtime| runtime.block_on(client.run()))
            });
            inside.context("enter the lab's network")?.context("start a client")
        });
        Self { stop, samples, thread: Some(thread) }
    }

    /// What has ended so far, in the order of its end.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().clone()
    }

    /// Shows what has ended so far to `look`.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Sample]) -> T) -> T {
        look(&self.samples.lock())
    }

    /// Stops sending, waits for what is on its way, and gives everything.
    pub(crate) fn stop(mut self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(self.samples())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Client {
    targets: Targets,
    host: &'static str,
    pause: Duration,
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Client {
    async fn run(self) {
        let mut ticks = interval(self.pause);
        // What this process was too late for is sent late, and counts from when it was due.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut turn = 0_usize;
        while !self.stop.load(Ordering::SeqCst) {
            let late = ticks.tick().await.elapsed();
            let targets = self.targets.lock().clone();
            let Some(target) = targets.get(turn % targets.len().max(1)).copied() else { continue };
            turn = turn.wrapping_add(1);
            let (samples, host) = (self.samples.clone(), self.host);
            // At most the rate by `WITHIN` of them live at once.
            drop(tokio::spawn(async move {
                let late = Nanos::try_from(late.as_nanos()).unwrap_or_default();
                let sent = now().saturating_sub(late);
                let outcome = timeout(WITHIN, once(target, host)).await;
                let outcome = outcome.unwrap_or_else(|_| Err("timed out".to_owned()));
                let mut samples = samples.lock();
                if samples.len() < MOST {
                    samples.push(Sample { sent, ended: now(), outcome });
                }
            }));
        }
        tokio::time::sleep(WITHIN).await;
    }
}

/// One request on a connection of its own; the instance that answered, or how it failed.
pub(crate) async fn once(target: SocketAddrV4, host: &str) -> Result<String, String> {
    let connected = TcpStream::connect(target).await;
    let mut stream = connected.map_err(|error| format!("connect: {error}"))?;
    let _ = stream.set_nodelay(true);
    ask(&mut stream, host, false).await
}
