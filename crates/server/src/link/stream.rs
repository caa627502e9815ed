//! One agent's stream: a greeting, then reports, acknowledgments and heartbeats up, documents down.

use std::net::SocketAddr;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::id::HostId;
use api::protocol::{Up, VERSION};
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use pki::PeerIdentity;
use tokio::sync::mpsc;

use super::frames::Frames;
use super::router::{host_of, refuse};
use crate::core::{Agents, Core, StreamEnd};

/// One agent's stream: its frames come in the request's body, ours go out in the answer's.
pub(super) async fn stream(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
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
    if let Err(error) = core.welcome(&host, &hello.place).await {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &error);
    }
    let distant = from.is_some_and(|Extension(from)| core.is_distant(from.0.ip()));
    tracing::info!(%host, version = hello.binary, "an agent connected");
    let (end, receiver) = Agents::connect(&core, &host, distant);
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
                core.agents.gathered.report(status);
            }
            Ok(Up::Status(status)) => {
                let claimed = status.host;
                tracing::warn!(%host, %claimed, "a report of another host is refused");
                break;
            }
            Ok(Up::Acknowledge(acknowledge)) => {
                core.agents.gathered.acknowledge(&host, acknowledge)
            }
            Ok(Up::Traffic { routes }) => core.agents.gathered.count(&host, routes),
            Ok(Up::Observed(observed)) => core.agents.gathered.observed(&host, observed),
            Ok(Up::Heartbeat | Up::Hello(_)) => core.agents.gathered.heard(&host),
            Err(error) => {
                tracing::warn!(%host, error, "an agent's stream ends");
                break;
            }
        }
    }
    alive.end();
}
