//! The agents that are connected: what they report, what they were sent, and the logs they were
//! asked for. Everything is in memory; what must last is written by controllers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::error::{ApiError, ErrorCode};
use api::id::{Generation, HostId};
use api::protocol::{Acknowledge, Down, LogLine};
use api::status::HostStatus;
use api::traffic::RouteTraffic;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

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
    /// The digest of the registries.
    pub registries: Option<u64>,
}

struct Stream {
    number: u64,
    frames: mpsc::Sender<Bytes>,
    sent: Sent,
}

#[derive(Default)]
struct Inner {
    streams: BTreeMap<HostId, Stream>,
    statuses: BTreeMap<HostId, Arc<HostStatus>>,
    acknowledged: BTreeMap<HostId, Acknowledge>,
    traffic: BTreeMap<HostId, Vec<RouteTraffic>>,
    logs: BTreeMap<String, mpsc::Sender<LogLine>>,
}

/// The connected agents.
#[derive(Default)]
pub struct Agents {
    inner: Mutex<Inner>,
    next: AtomicU64,
    changed: Notify,
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
            inner.acknowledged.remove(&self.host);
            tracing::info!(host = %self.host, "the agent's stream ended");
        }
        drop(inner);
        agents.changed.notify_one();
    }
}

impl Drop for StreamEnd {
    fn drop(&mut self) {
        self.end();
    }
}

impl Agents {
    /// Registers a stream; an older one of the same host ends.
    pub fn connect(core: &Arc<super::Core>, host: &HostId) -> (StreamEnd, mpsc::Receiver<Bytes>) {
        let agents = &core.agents;
        let (frames, receiver) = mpsc::channel(QUEUE);
        let number = agents.next.fetch_add(1, Ordering::Relaxed);
        let stream = Stream { number, frames, sent: Sent::default() };
        agents.inner.lock().streams.insert(host.clone(), stream);
        agents.changed.notify_one();
        (StreamEnd { core: core.clone(), host: host.clone(), number }, receiver)
    }

    /// Waits until an agent reported, acknowledged, came or left.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes a report over; gives the one before.
    pub fn report(&self, status: HostStatus) -> Option<Arc<HostStatus>> {
        let host = status.host.clone();
        let before = self.inner.lock().statuses.insert(host, Arc::new(status));
        self.changed.notify_one();
        before
    }

    /// Takes an acknowledgment over.
    pub fn acknowledge(&self, host: &HostId, acknowledge: Acknowledge) {
        self.inner.lock().acknowledged.insert(host.clone(), acknowledge);
        self.changed.notify_one();
    }

    /// Takes over what a host's proxy counted.
    pub fn count(&self, host: &HostId, routes: Vec<RouteTraffic>) {
        self.inner.lock().traffic.insert(host.clone(), routes);
    }

    /// What all proxies counted on a route.
    #[must_use]
    pub fn traffic(&self, route: &str) -> RouteTraffic {
        let inner = self.inner.lock();
        let mut sum = RouteTraffic { route: route.to_owned(), ..RouteTraffic::default() };
        for counted in inner.traffic.values().flatten().filter(|r| r.route == route) {
            sum.add(counted);
        }
        sum
    }

    /// The reports of this server's agents, also of those that left.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<HostId, Arc<HostStatus>> {
        self.inner.lock().statuses.clone()
    }

    /// What agents have in place.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<HostId, Acknowledge> {
        self.inner.lock().acknowledged.clone()
    }

    /// The connected hosts with what they were sent.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<HostId, Sent> {
        let inner = self.inner.lock();
        inner.streams.iter().map(|(host, stream)| (host.clone(), stream.sent.clone())).collect()
    }

    /// Whether a host's agent is connected.
    #[must_use]
    pub fn is_connected(&self, host: &HostId) -> bool {
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
