//! The servers' end of the agents' streams: one long request of each agent, frames in both directions,
//! and the requests by which agents answer with logs.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::frame::Decoder;
use api::id::HostId;
use api::protocol::{LogLine, Up, VERSION};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use pki::{PeerIdentity, PeerRole};
use tokio::sync::mpsc;

use crate::core::{Agents, Core, StreamEnd};

/// The routes that agents use; whoever mounts them puts the peer's identity into the request.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/agent/v1/stream", post(stream))
        .route("/agent/v1/logs/{id}", post(logs))
        .with_state(core)
}

fn refuse(status: StatusCode, error: &ApiError) -> Response {
    (status, axum::Json(error)).into_response()
}

/// The host that a certificate names; nothing else may use these routes.
fn host_of(peer: Option<Extension<PeerIdentity>>) -> Result<HostId, Box<Response>> {
    let denied = |message: &str| {
        let error = ApiError::new(ErrorCode::Forbidden, message);
        Box::new(refuse(StatusCode::FORBIDDEN, &error))
    };
    let Some(Extension(peer)) = peer else {
        return Err(denied("only an agent with a certificate of the cluster may do this"));
    };
    if peer.role() != PeerRole::Host {
        return Err(denied("the certificate is not a host's"));
    }
    HostId::new(peer.name()).map_err(|error| denied(&error.to_string()))
}

/// One agent's stream: its frames come in the request's body, ours go out in the answer's.
async fn stream(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    body: Body,
) -> Response {
    let host = match host_of(peer) {
        Ok(host) => host,
        Err(refused) => return *refused,
    };
    let mut frames = Frames::new(body.into_data_stream());
    let hello = match frames.next::<Up>().await {
        Some(Ok(Up::Hello(hello))) => hello,
        Some(Ok(_)) | None => {
            let error = ApiError::new(ErrorCode::Invalid, "the first frame is not a greeting");
            return refuse(StatusCode::BAD_REQUEST, &error);
        }
        Some(Err(error)) => {
            let error = ApiError::new(ErrorCode::Invalid, error);
            return refuse(StatusCode::BAD_REQUEST, &error);
        }
    };
    if hello.host != host || hello.version > VERSION {
        let message = format!(
            "the certificate is of host {host}, the agent says {} and speaks version {}",
            hello.host, hello.version
        );
        let error = ApiError::new(ErrorCode::Forbidden, message);
        return refuse(StatusCode::FORBIDDEN, &error);
    }
    if let Err(error) = core.welcome(&host).await {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &error);
    }
    tracing::info!(%host, version = hello.binary, "an agent connected");
    let (end, receiver) = Agents::connect(&core, &host);
    let alive = Arc::new(end);
    tokio::spawn(listen(core, host, frames, alive.clone()));
    Response::new(Body::from_stream(outgoing(receiver, alive)))
}

/// What is sent to an agent. It ends when the agents' registry drops the sender; as long as it is
/// polled it keeps the stream registered.
fn outgoing(
    mut receiver: mpsc::Receiver<Bytes>,
    alive: Arc<StreamEnd>,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::poll_fn(move |context| {
        let _registered = &alive;
        receiver.poll_recv(context).map(|frame| frame.map(Ok))
    })
}

/// Takes an agent's frames until its stream ends.
async fn listen(core: Arc<Core>, host: HostId, mut frames: Frames, alive: Arc<StreamEnd>) {
    while let Some(frame) = frames.next::<Up>().await {
        match frame {
            Ok(Up::Status(status)) if status.host == host => {
                core.agents.report(status);
            }
            Ok(Up::Status(status)) => {
                tracing::warn!(%host, claimed = %status.host, "a report of another host is refused");
                break;
            }
            Ok(Up::Acknowledge(acknowledge)) => core.agents.acknowledge(&host, acknowledge),
            Ok(Up::Heartbeat | Up::Hello(_)) => {}
            Err(error) => {
                tracing::warn!(%host, error, "an agent's stream ends");
                break;
            }
        }
    }
    alive.end();
}

/// An agent's answer with log lines. It is read as fast as the asker reads; when the asker has left, the
/// answer is cut off.
async fn logs(
    State(core): State<Arc<Core>>,
    Path(id): Path<String>,
    peer: Option<Extension<PeerIdentity>>,
    body: Body,
) -> Response {
    if let Err(refused) = host_of(peer) {
        return *refused;
    }
    let Some(asker) = core.agents.take_logs(&id) else {
        let error = ApiError::new(ErrorCode::NotFound, "nobody asks for these lines any more");
        return refuse(StatusCode::NOT_FOUND, &error);
    };
    let mut frames = Frames::new(body.into_data_stream());
    loop {
        // Cancel-safe: both only end the answer.
        let line = tokio::select! {
            () = asker.closed() => break,
            line = frames.next::<LogLine>() => line,
        };
        let Some(Ok(line)) = line else { break };
        if asker.send(line).await.is_err() {
            break;
        }
    }
    StatusCode::OK.into_response()
}

/// Frames of a body.
struct Frames {
    body: BodyDataStream,
    decoder: Decoder,
}

impl Frames {
    fn new(body: BodyDataStream) -> Self {
        Self { body, decoder: Decoder::new() }
    }

    /// The next frame; none at the end of the body. After an error nothing more comes.
    async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Option<Result<T, String>> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
            match self.body.next().await? {
                Ok(bytes) => self.decoder.push(&bytes),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }
}
