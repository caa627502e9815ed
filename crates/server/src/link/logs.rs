//! Answers with log lines, handed on to who asked.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::protocol::LogLine;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pki::PeerIdentity;

use super::frames::Frames;
use super::router::{Unwelcome, host_of, refuse};
use crate::core::Core;

/// An agent's answer with log lines. It is read as fast as the asker reads; when the asker has
/// left, the answer is cut off.
pub(super) async fn logs(
    State(core): State<Arc<Core>>,
    Path(id): Path<String>,
    peer: Option<Extension<PeerIdentity>>,
    unwelcome: Option<Extension<Unwelcome>>,
    body: Body,
) -> Response {
    if let Err(refused) = host_of(peer, unwelcome) {
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
