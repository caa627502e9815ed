//! The other servers' streams to us, and their questions for logs.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::id::{AppName, ServerId};
use api::protocol::Down;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use pki::{PeerIdentity, PeerRole};

use super::logs::Asked;
use crate::core::{Core, PEER_VERSION, Word};
use crate::link::{Frames, refuse};

/// The routes that servers use; whoever mounts them puts the peer's identity into the request.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/peer/v1/stream", post(listen))
        .route("/peer/v1/logs", post(logs))
        .route("/peer/v1/status", post(status))
        .with_state(core)
}

/// The server that a certificate names; nothing else may use these routes.
pub(crate) fn server_of(peer: Option<Extension<PeerIdentity>>) -> Result<ServerId, Box<Response>> {
    let denied = |message: &str| {
        let error = ApiError::new(ErrorCode::Forbidden, message);
        Box::new(refuse(StatusCode::FORBIDDEN, &error))
    };
    let Some(Extension(peer)) = peer else {
        return Err(denied("only a server with a certificate of the cluster may do this"));
    };
    if peer.role() != PeerRole::Server {
        return Err(denied("the certificate is not a server's"));
    }
    ServerId::new(peer.name()).map_err(|error| denied(&error.to_string()))
}

/// Takes what another server says. The answer's body is empty and lasts as long as we listen.
async fn listen(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    body: Body,
) -> Response {
    let peer = match server_of(peer) {
        Ok(peer) => peer,
        Err(refused) => return *refused,
    };
    let mut frames = Frames::new(body.into_data_stream());
    match frames.next::<Word>().await {
        Some(Ok(Word::Hello { version, server })) if server == peer && version <= PEER_VERSION => {}
        other => {
            let message = format!("server {peer} does not greet as it should: {other:?}");
            tracing::warn!("{message}");
            return refuse(StatusCode::FORBIDDEN, &ApiError::new(ErrorCode::Forbidden, message));
        }
    }
    tracing::info!(server = %peer, "another server speaks");
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let number = core.agents.gathered.peer_came(&peer);
    tokio::spawn(async move {
        while let Some(word) = frames.next::<Word>().await {
            match word {
                Ok(
                    word @ (Word::Tables { .. }
                    | Word::Routes { .. }
                    | Word::Observers { .. }
                    | Word::Vips { .. }
                    | Word::Warm { .. }),
                ) => core.servers.published.take(word),
                Ok(Word::LeaseRequest { host, request }) => {
                    core.ask_lease(&host, request, Some(peer.clone()));
                }
                Ok(Word::LeaseAnswer { host, answer }) => {
                    core.agents.send(&host, &Down::Lease(answer), |_| {});
                }
                Ok(word) => core.agents.gathered.peer_said(&peer, word),
                Err(error) => {
                    tracing::warn!(server = %peer, %error, "another server's stream ends");
                    break;
                }
            }
        }
        core.agents.gathered.peer_left(&peer, number);
        drop(done);
    });
    let silence = stream::once(async move {
        let _ = ended.await;
    });
    let silence = silence.filter_map(|()| std::future::ready(None::<bytes::Bytes>));
    Response::new(Body::from_stream(silence.map(Ok::<_, std::convert::Infallible>)))
}

/// Answers how an app is where we lead: then we know what keeps it from its goal.
async fn status(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    Json(app): Json<AppName>,
) -> Response {
    if let Err(refused) = server_of(peer) {
        return *refused;
    }
    if core.servers.term().is_none() {
        let message = format!("server {} does not lead", core.servers.me);
        let error = ApiError::new(ErrorCode::Unavailable, message);
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &error);
    }
    match core.status(&app) {
        Ok(statuses) => Json(statuses).into_response(),
        Err(error) => refuse(StatusCode::NOT_FOUND, &error),
    }
}

/// Answers with lines of a host whose stream we hold; with none when we do not.
async fn logs(
    State(core): State<Arc<Core>>,
    peer: Option<Extension<PeerIdentity>>,
    Json(asked): Json<Asked>,
) -> Response {
    if let Err(refused) = server_of(peer) {
        return *refused;
    }
    let lines = match core.held_lines(&asked.host, asked.instance, asked.tail, asked.follow) {
        Ok(lines) => lines,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    let Some(mut lines) = lines else { return StatusCode::OK.into_response() };
    let lines = stream::poll_fn(move |context| lines.poll_recv(context));
    Response::new(Body::from_stream(lines.map(|line| api::frame::encode(&line))))
}
