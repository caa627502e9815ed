//! One stream to one server: reports up, documents down, until it breaks or falls silent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::about::About;
use api::error::ApiError;
use api::frame::{self, Decoder};
use api::lease::LEASE_EVERY;
use api::liveness::Observed;
use api::protocol::{Acknowledge, Down, HEARTBEAT, Hello, Up};
use api::status::HostStatus;
use api::traffic::RouteTraffic;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::body::ChannelBody;
use super::connect::{Dialer, LinkError};
use super::silence::{LOOK, Silence};
use crate::lease::Leases;
use crate::vip::{Holdings, for_how_long};

/// Frames on their way up: a report replaces the one before, so few are enough.
const FRAMES: usize = 16;

/// Changes of the report so close together travel as one.
const COALESCE: Duration = Duration::from_millis(5);

/// How long the head of the server's answer may take.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of what a server that refuses may say.
const MAX_REFUSAL: usize = 16 << 10;

/// What goes up and where documents go.
#[derive(Debug, Clone)]
pub struct Uplink {
    /// Who we are.
    pub hello: Hello,
    /// The host's report.
    pub status: watch::Receiver<Arc<HostStatus>>,
    /// Which documents are in place.
    pub acknowledge: watch::Receiver<Acknowledge>,
    /// What the proxy counted.
    pub traffic: watch::Receiver<Arc<Vec<RouteTraffic>>>,
    /// What the host finds as an observer.
    pub observed: watch::Receiver<Observed>,
    /// Its singletons' leases.
    pub leases: Arc<Leases>,
    /// The virtual addresses that the host holds.
    pub held: watch::Receiver<Holdings>,
    /// What the host says of itself.
    pub about: watch::Receiver<About>,
    /// Documents as they come, with the server they came from.
    pub down: mpsc::Sender<(String, Down)>,
}

/// A stream that a server has answered. It runs as long as it is polled.
pub(super) struct Stream {
    pub(super) server: String,
    pub(super) begun: Instant,
    /// What the server says of its store; none until it says it.
    pub(super) store: watch::Receiver<Option<bool>>,
    /// Gives why the stream ended.
    pub(super) running: Pin<Box<dyn Future<Output = LinkError> + Send>>,
}

/// Opens a stream to a server; ready once the server has answered.
pub(super) async fn open(
    dialer: &Dialer,
    server: String,
    uplink: Uplink,
) -> Result<Stream, LinkError> {
    let mut sender = dialer.dial(&server).await?;
    let (frames, body) = mpsc::channel(FRAMES);
    let Uplink { mut hello, mut status, mut acknowledge, traffic, .. } = uplink;
    let Uplink { mut observed, mut held, leases, mut about, down, .. } = uplink;
    // A new server has not heard it.
    observed.mark_changed();
    held.mark_changed();
    about.mark_changed();
    // It may stand elsewhere than when it started.
    hello.place = about.borrow().place.clone();
    // The channel is empty and holds all three.
    let first = status.borrow_and_update().clone();
    let in_place = *acknowledge.borrow_and_update();
    for up in [Up::Hello(hello), Up::Status((*first).clone()), Up::Acknowledge(in_place)] {
        put(&server, &frames, &up).await?;
    }
    let request = Request::post(format!("https://{server}/agent/v1/stream"))
        .header(http::header::CONTENT_TYPE, "application/vnd.freehold.frames")
        .body(ChannelBody(body))
        .map_err(|_| LinkError::Address(server.clone()))?;
    let answer = timeout(HEAD_WITHIN, sender.send_request(request)).await;
    let answer = answer.map_err(|_| LinkError::Timeout { server: server.clone() })?;
    let answer = answer.map_err(|source| LinkError::Http { server: server.clone(), source })?;
    if answer.status() != http::StatusCode::OK {
        return Err(refused(server, answer).await);
    }
    let (told, store) = watch::channel(None);
    let name = server.clone();
    let running = Box::pin(async move {
        // Held as long as the stream: without it the connection would end.
        let _connection = sender;
        let reported = (status, acknowledge, traffic, observed, held, about);
        let Err(error) = tokio::select! {
            result = reports(&name, &frames, reported, &leases) => result,
            result = documents(&name, answer.into_body(), &told, &down) => result,
        };
        error
    });
    Ok(Stream { server, begun: Instant::now(), store, running })
}

/// What is known of a server's refusal.
pub(super) async fn refused(server: String, answer: Response<Incoming>) -> LinkError {
    let status = answer.status();
    let why = timeout(HEAD_WITHIN, refusal(answer.into_body())).await.unwrap_or_default();
    LinkError::Refused { server, status, why }
}

/// What a server that refuses says.
async fn refusal(body: Incoming) -> String {
    let Ok(body) = Limited::new(body, MAX_REFUSAL).collect().await else { return String::new() };
    match serde_json::from_slice::<ApiError>(&body.to_bytes()) {
        Ok(ApiError { message, hint: Some(hint), .. }) => format!("{message} (hint: {hint})"),
        Ok(ApiError { message, .. }) => message,
        Err(_) => String::new(),
    }
}

/// What is reported when it changes.
type Reported = (
    watch::Receiver<Arc<HostStatus>>,
    watch::Receiver<Acknowledge>,
    watch::Receiver<Arc<Vec<RouteTraffic>>>,
    watch::Receiver<Observed>,
    watch::Receiver<Holdings>,
    watch::Receiver<About>,
);

/// Sends what changes, and heartbeats. Each arm only waits, so dropping it loses nothing.
async fn reports(
    server: &str,
    frames: &mpsc::Sender<Bytes>,
    (mut status, mut acknowledge, mut traffic, mut observed, mut held, mut about): Reported,
    leases: &Leases,
) -> Result<Infallible, LinkError> {
    let mut beat = interval(HEARTBEAT.duration());
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first at once: another server may have gone silent a while ago.
    let mut asking = interval(LEASE_EVERY.duration());
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_report = Instant::now();
    loop {
        let up = tokio::select! {
            Ok(()) = status.changed() => {
                // One that comes alone goes at once; those of a burst wait for each other.
                sleep_until(next_report).await;
                next_report = Instant::now() + COALESCE;
                let newest = status.borrow_and_update().clone();
                Up::Status((*newest).clone())
            }
            Ok(()) = acknowledge.changed() => Up::Acknowledge(*acknowledge.borrow_and_update()),
            Ok(()) = about.changed() => {
                Up::About(Box::new(about.borrow_and_update().clone()))
            }
            Ok(()) = observed.changed() => Up::Observed(observed.borrow_and_update().clone()),
            Ok(()) = held.changed() => {
                let addresses = for_how_long(&held.borrow_and_update());
                Up::Holds { addresses }
            }
            Ok(()) = traffic.changed() => {
                Up::Traffic { routes: traffic.borrow_and_update().to_vec() }
            }
            () = due(&mut asking, leases) => {
                match leases.request() {
                    Some(request) => Up::Lease(request),
                    None => continue,
                }
            }
            _ = beat.tick() => Up::Heartbeat,
        };
        put(server, frames, &up).await?;
    }
}

/// Ready when leases are to be asked for.
async fn due(asking: &mut tokio::time::Interval, leases: &Leases) {
    // Cancel-safe, both: a tick or a notice that is missed comes again.
    tokio::select! {
        _ = asking.tick() => {}
        () = leases.urgent() => {}
    }
}

async fn put(server: &str, frames: &mpsc::Sender<Bytes>, up: &Up) -> Result<(), LinkError> {
    let frame = frame::encode(up);
    let frame = frame.map_err(|source| LinkError::Frame { server: server.to_owned(), source })?;
    let sent = frames.send(frame.into()).await;
    sent.map_err(|_| LinkError::Closed { server: server.to_owned() })
}

/// Hands documents on, and notes what the server says of its store, until it is silent for long.
async fn documents(
    server: &str,
    mut body: Incoming,
    store: &watch::Sender<Option<bool>>,
    down: &mpsc::Sender<(String, Down)>,
) -> Result<Infallible, LinkError> {
    let mut decoder = Decoder::new();
    let mut silence = Silence::default();
    loop {
        // Cancel-safe: what has come of a frame stays in the body.
        let Ok(piece) = timeout(LOOK, body.frame()).await else {
            if silence.missed() {
                return Err(LinkError::Silent { server: server.to_owned() });
            }
            continue;
        };
        silence.heard();
        let piece = piece.ok_or_else(|| LinkError::Closed { server: server.to_owned() })?;
        let piece =
            piece.map_err(|source| LinkError::Http { server: server.to_owned(), source })?;
        let Ok(data) = piece.into_data() else { continue };
        decoder.push(&data);
        loop {
            match decoder.next::<Down>() {
                Ok(None) => break,
                Ok(Some(Down::Store { reachable })) => {
                    store.send_if_modified(|said| said.replace(reachable) != Some(reachable));
                }
                Ok(Some(document)) => {
                    if down.send((server.to_owned(), document)).await.is_err() {
                        return Err(LinkError::Closed { server: server.to_owned() });
                    }
                }
                // A newer server may say what we do not know yet; all else is understood.
                Err(frame::FrameError::Json(error)) => {
                    tracing::warn!(server, %error, "skipped a message of a server");
                }
                Err(source) => return Err(LinkError::Frame { server: server.to_owned(), source }),
            }
        }
    }
}
