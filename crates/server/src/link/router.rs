//! The routes that agents use, and who may use them.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::id::HostId;
use axum::Router;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use pki::{PeerIdentity, PeerRole};

use super::{logs, stream};
use crate::core::Core;

/// The routes that agents use; whoever mounts them puts the peer's identity into the request.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/agent/v1/stream", post(stream::stream))
        .route("/agent/v1/logs/{id}", post(logs::logs))
        .with_state(core)
}

pub(crate) fn refuse(status: StatusCode, error: &ApiError) -> Response {
    (status, axum::Json(error)).into_response()
}

/// Whoever accepts connections puts this into requests of one whose certificate was good once.
#[derive(Debug, Clone)]
pub(crate) struct Unwelcome(pub(crate) ApiError);

/// The host that a certificate names; nothing else may use these routes.
pub(super) fn host_of(
    peer: Option<Extension<PeerIdentity>>,
    unwelcome: Option<Extension<Unwelcome>>,
) -> Result<HostId, Box<Response>> {
    if let Some(Extension(Unwelcome(error))) = unwelcome {
        return Err(Box::new(refuse(StatusCode::FORBIDDEN, &error)));
    }
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
