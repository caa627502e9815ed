//! The agents' streams that this server holds: what goes down on each, and the logs that were
//! asked for. What came up on them, here and on other servers, is in `gathered`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::error::{ApiError, ErrorCode};
use api::id::{Generation, HostId};
use api::protocol::{Down, LogLine};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::gathered::Gathered;
use super::refusals::Refusals;

/// Frames waiting for one agent. More means that it does not read: its stream is ended, and it gets
/// everything anew when it comes back.
const QUEUE: usize = 64;

/// Log lines on their way to one asker.
const LOG_QUEUE: usize = 1024;

/// Log answers that may be open at once.
const LOG_ANSWERS: usize = 256;

/// Which documents were sent on a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// The assignment's generation and the digest of its workloads.
    pub assignment: Option<(Generation, u64)>,
    /// The tables' generation.
    pub tables: Option<Generation>,
    /// Whether it serves the ingress.
    pub serves: Option<bool>,
    /// The table of virtual addresses.
    pub vips: Option<Generation>,
    /// The digest of the registries.
    pub registries: Option<u64>,
    /// The digest of the servers' addresses.
    pub servers: Option<u64>,
    /// The list of targets to probe.
    pub observe: Option<Generation>,
    /// Whether the store was there.
    pub store: Option<bool>,
    /// The list of images to have ahead of need.
    pub warm: Option<Generation>,
    /// The generation of the authorities.
    pub authorities: Option<u64>,
}

struct Stream {
    number: u64,
    frames: mpsc::Sender<Bytes>,
    sent: Sent,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<HostId, Stream>,
    logs: BTreeMap<String, mpsc::Sender<LogLine>>,
}

/// The connected agents.
#[derive(Default)]
pub struct Agents {
    inner: Mutex<Inner>,
    next: AtomicU64,
    came: watch::Sender<()>,
    /// What is known of hosts, here and on the other servers.
    pub gathered: Gathered,
    /// Who was refused lately.
    pub refusals: Refusals,
}

/// Ends a stream's registration when it is dropped, unless a newer stream took its place.
pub struct StreamEnd {
    core: Arc<super::Core>,
    host: HostId,
    number: u64,
}

impl StreamEnd {
    /// Ends the registration now.
    pub fn end(&self) {
        let agents = &self.core.agents;
        let mut inner = agents.inner.lock();
        if inner.streams.get(&self.host).is_some_and(|stream| stream.number == self.number) {
            inner.streams.remove(&self.host);
            agents.gathered.left(&self.host);
            tracing::info!(host = %self.host, "the agent's stream ended");
        }
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        self.end();
    }
}

impl Agents {
    /// Registers a stream; an older one of the same host ends.
    ///
    /// `distant` says whether it crosses a network: one that does not proves nothing of the host's.
    pub fn connect(
        core: &Arc<super::Core>,
        host: &HostId,
        distant: bool,
    ) -> (StreamEnd, mpsc::Receiver<Bytes>) {
        let agents = &core.agents;
        let (frames, receiver) = mpsc::channel(QUEUE);
        let number = agents.next.fetch_add(1, Ordering::Relaxed);
        let stream = Stream { number, frames, sent: Sent::default() };
        let mut inner = agents.inner.lock();
        inner.streams.insert(host.clone(), stream);
        agents.gathered.came(host, distant);
        drop(inner);
        agents.came.send_replace(());
        (StreamEnd { core: core.clone(), host: host.clone(), number }, receiver)
    }

    /// Tells of each stream that begins.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<()> {
        self.came.subscribe()
    }

    /// The hosts whose streams this server holds, with what they were sent.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<HostId, Sent> {
        let inner = self.inner.lock();
        inner.streams.iter().map(|(host, stream)| (host.clone(), stream.sent.clone())).collect()
    }

    /// Whether this server holds a host's stream.
    #[must_use]
    pub fn holds(&self, host: &HostId) -> bool {
        self.inner.lock().streams.contains_key(host)
    }

    /// Sends a frame and notes what was sent. An agent that does not read is cut off.
    pub fn send(&self, host: &HostId, down: &Down, note: impl FnOnce(&mut Sent)) {
        let frame = match api::frame::encode(down) {
            Ok(frame) => Bytes::from(frame),
            Err(error) => {
                tracing::error!(%error, %host, "encode a frame");
                return;
            }
        };
        self.send_encoded(host, frame, note);
    }

    /// As [`Agents::send`], for a frame that goes to several.
    pub fn send_encoded(&self, host: &HostId, frame: Bytes, note: impl FnOnce(&mut Sent)) {
        let mut inner = self.inner.lock();
        let Some(stream) = inner.streams.get_mut(host) else { return };
        if stream.frames.try_send(frame).is_ok() {
            note(&mut stream.sent);
        } else {
            tracing::warn!(%host, "an agent does not read its stream: it is cut off");
            inner.streams.remove(host);
            self.gathered.left(host);
        }
    }

    /// Ends a host's stream.
    pub fn cut(&self, host: &HostId) {
        let mut inner = self.inner.lock();
        if inner.streams.remove(host).is_some() {
            self.gathered.left(host);
        }
    }

    /// Sends a sign of life on every stream on which nothing waits to be sent: what waits there is
    /// one itself.
    pub fn beat(&self, frame: &Bytes) {
        let inner = self.inner.lock();
        for stream in inner.streams.values() {
            if stream.frames.capacity() == stream.frames.max_capacity() {
                // A stream that has just ended is taken out by who holds its end.
                let _ = stream.frames.try_send(frame.clone());
            }
        }
    }

    /// Opens a place for an answer with log lines.
    ///
    /// # Errors
    /// When too many are open.
    pub fn expect_logs(&self, id: &str) -> Result<mpsc::Receiver<LogLine>, ApiError> {
        let mut inner = self.inner.lock();
        inner.logs.retain(|_, sender| !sender.is_closed());
        if inner.logs.len() >= LOG_ANSWERS {
            return Err(ApiError::new(ErrorCode::Unavailable, "too many logs are being read")
                .hint("end one of them or try again later"));
        }
        let (sender, receiver) = mpsc::channel(LOG_QUEUE);
        inner.logs.insert(id.to_owned(), sender);
        Ok(receiver)
    }

    /// Takes the place for an answer, once.
    pub fn take_logs(&self, id: &str) -> Option<mpsc::Sender<LogLine>> {
        self.inner.lock().logs.remove(id)
    }
}
