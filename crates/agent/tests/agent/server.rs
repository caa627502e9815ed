//! The least a server is: the agent's stream, its log lines and a registry to read from. It can
//! freeze and say that it has lost its store.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::about::About;
use api::frame::{self, Decoder};
use api::lease::{LEASE, LeaseAnswer};
use api::liveness::Observed;
use api::protocol::{Acknowledge, Down, HEARTBEAT, LogLine, Up};
use api::status::HostStatus;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use image::{ContentStore, Digest};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server has heard and what it says.
pub struct Server {
    pub status: watch::Receiver<Option<HostStatus>>,
    pub acknowledged: watch::Receiver<Acknowledge>,
    /// What the agent says of its host, and of those that it probes.
    pub about: watch::Receiver<Option<About>>,
    pub observed: watch::Receiver<Option<Observed>>,
    pub lines: tokio::sync::Mutex<mpsc::Receiver<LogLine>>,
    /// The agent's streams.
    pub streams: watch::Receiver<Streams>,
    shared: Arc<Shared>,
}

/// How many streams there ever were, and how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    pub opened: usize,
    pub open: usize,
}

struct Shared {
    content: ContentStore,
    status: watch::Sender<Option<HostStatus>>,
    acknowledged: watch::Sender<Acknowledge>,
    about: watch::Sender<Option<About>>,
    observed: watch::Sender<Option<Observed>>,
    lines: mpsc::Sender<LogLine>,
    /// All that was ever said, so that a new stream hears it again.
    said: parking_lot::Mutex<Vec<Bytes>>,
    changed: watch::Sender<usize>,
    streams: watch::Sender<Streams>,
    /// Whether it says that it has its store.
    store: AtomicBool,
    frozen: watch::Sender<bool>,
    /// Whether it grants leases.
    grants: AtomicBool,
}

/// Counted while it is there.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.streams.send_modify(|streams| {
            streams.opened += 1;
            streams.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.send_modify(|streams| streams.open -= 1);
    }
}

impl Server {
    /// Serves on a listener in the background.
    pub fn start(listener: std::net::TcpListener, tls: TlsAcceptor, content: ContentStore) -> Self {
        let (status, seen) = watch::channel(None);
        let (acknowledged, heard) = watch::channel(Acknowledge::default());
        let (lines, read) = mpsc::channel(10_000);
        let shared = Arc::new(Shared {
            content,
            status,
            acknowledged,
            about: watch::channel(None).0,
            observed: watch::channel(None).0,
            lines,
            said: parking_lot::Mutex::default(),
            changed: watch::channel(0).0,
            streams: watch::Sender::default(),
            store: AtomicBool::new(true),
            frozen: watch::Sender::new(false),
            grants: AtomicBool::new(true),
        });
        let streams = shared.streams.subscribe();
        let (about, observed) = (shared.about.subscribe(), shared.observed.subscribe());
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(accept(listener, tls, shared.clone()));
        let lines = tokio::sync::Mutex::new(read);
        Self { status: seen, acknowledged: heard, about, observed, lines, streams, shared }
    }

    /// Says from the next sign of life on whether it has its store.
    pub fn has_store(&self, reachable: bool) {
        self.shared.store.store(reachable, Ordering::Relaxed);
    }

    /// Grants leases from now on, or leaves requests without an answer.
    pub fn grants(&self, grants: bool) {
        self.shared.grants.store(grants, Ordering::Relaxed);
    }

    /// From now on reads and writes nothing, as a machine that was switched off: connections stay,
    /// and new ones are never answered.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Says something to the agent, now and on every later stream.
    pub fn say(&self, down: &Down) {
        let frame = frame::encode(down).unwrap();
        let mut said = self.shared.said.lock();
        said.push(frame.into());
        self.shared.changed.send_replace(said.len());
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, shared) = (tls.clone(), shared.clone());
        tokio::spawn(async move {
            let mut frozen = shared.frozen.subscribe();
            let serve = async {
                let Ok(stream) = tls.accept(tcp).await else { return };
                let service = service_fn(move |request| answer(request, shared.clone()));
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            };
            let freeze = async {
                frozen.wait_for(|frozen| *frozen).await.unwrap();
            };
            tokio::pin!(serve);
            tokio::select! {
                biased;
                // The connection stays, and nobody looks at it.
                () = freeze => pending().await,
                () = &mut serve => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let response = match (request.method(), parts.as_slice()) {
        (&Method::POST, ["agent", "v1", "stream"]) => {
            tokio::spawn(listen(request.into_body(), shared.clone()));
            let open = Open::new(shared.clone());
            let mut beat = tokio::time::interval(HEARTBEAT.duration());
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let body = stream::unfold((shared, open, beat, 0), |(shared, open, mut beat, next)| {
                async move {
                    let mut changed = shared.changed.subscribe();
                    // A sign of life, as every server gives it.
                    let (frame, next) = tokio::select! {
                        biased;
                        _ = beat.tick() => {
                            let reachable = shared.store.load(Ordering::Relaxed);
                            (frame::encode(&Down::Store { reachable }).unwrap().into(), next)
                        }
                        said = changed.wait_for(|said| *said > next) => {
                            drop(said.unwrap());
                            (shared.said.lock()[next].clone(), next + 1)
                        }
                    };
                    Some((Ok(Frame::data(frame)), (shared, open, beat, next)))
                }
            });
            Response::new(StreamBody::new(body).boxed_unsync())
        }
        (&Method::POST, ["agent", "v1", "logs", _]) => {
            let mut body = request.into_body();
            let mut decoder = Decoder::new();
            while let Some(Ok(piece)) = body.frame().await {
                decoder.push(&piece.into_data().unwrap());
                while let Some(line) = decoder.next::<LogLine>().unwrap() {
                    shared.lines.send(line).await.unwrap();
                }
            }
            whole(StatusCode::OK, Bytes::new())
        }
        (&Method::GET, ["v2", .., kind, digest]) => blob(&shared, kind, digest),
        _ => whole(StatusCode::NOT_FOUND, Bytes::new()),
    };
    Ok(response)
}

fn blob(shared: &Shared, kind: &str, digest: &str) -> Response<Body> {
    let digest: Digest = digest.parse().unwrap();
    let Ok(content) = shared.content.read(&digest, 1 << 30) else {
        return whole(StatusCode::NOT_FOUND, Bytes::new());
    };
    let mut response = whole(StatusCode::OK, content.into());
    if kind == "manifests" {
        let media = "application/vnd.oci.image.manifest.v1+json".parse().unwrap();
        response.headers_mut().insert(http::header::CONTENT_TYPE, media);
    }
    response
}

fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn listen(mut body: Incoming, shared: Arc<Shared>) {
    let mut decoder = Decoder::new();
    while let Some(Ok(piece)) = body.frame().await {
        let Ok(data) = piece.into_data() else { continue };
        decoder.push(&data);
        while let Some(up) = decoder.next::<Up>().unwrap() {
            match up {
                Up::Status(status) => drop(shared.status.send_replace(Some(status))),
                Up::Acknowledge(known) => drop(shared.acknowledged.send_replace(known)),
                Up::Lease(request) if shared.grants.load(Ordering::Relaxed) => {
                    let instances = request.instances.into_iter();
                    let answer = LeaseAnswer {
                        number: request.number,
                        granted: instances.map(|wish| wish.instance).collect(),
                        lease: LEASE,
                        refused: Vec::new(),
                    };
                    let frame = frame::encode(&Down::Lease(answer)).unwrap();
                    let mut said = shared.said.lock();
                    said.push(frame.into());
                    shared.changed.send_replace(said.len());
                }
                Up::Observed(found) => drop(shared.observed.send_replace(Some(found))),
                Up::About(about) => drop(shared.about.send_replace(Some(*about))),
                Up::Lease(_)
                | Up::Hello(_)
                | Up::Traffic { .. }
                | Up::Holds { .. }
                | Up::Heartbeat => {}
            }
        }
    }
}
