//! What other servers ask of this one's registry.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use image::Digest;
use pki::PeerIdentity;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::peers::{Lacking, Named, Take};
use crate::link::refuse;
use crate::oci::{Registry, RegistryError, body_of};
use crate::peer::server_of;

/// Images taken over at once; each fetches one content after the other.
const TAKES: usize = 4;

/// Contents named in one request; an image has some ten.
const MAX_NAMED: usize = 20_000;

struct Site {
    registry: Arc<Registry>,
    takes: Semaphore,
}

/// The routes that servers use; whoever mounts them puts the peer's identity into the request.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/peer/v1/images/take", post(take))
        .route("/peer/v1/images/lacking", post(lacking))
        .route("/peer/v1/images/content/{digest}", get(content))
        .layer(axum::extract::DefaultBodyLimit::max(4 << 20))
        .with_state(Arc::new(Site { registry, takes: Semaphore::new(TAKES) }))
}

fn failed(error: &RegistryError) -> Response {
    let code = if error.retryable() { ErrorCode::Unavailable } else { ErrorCode::Internal };
    refuse(StatusCode::SERVICE_UNAVAILABLE, &ApiError::new(code, error.to_string()))
}

async fn take(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<PeerIdentity>>,
    Json(asked): Json<Take>,
) -> Response {
    if let Err(refused) = server_of(peer) {
        return *refused;
    }
    let Ok(_turn) = site.takes.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let content = Named::wanted(&asked.content);
    match site.registry.take_over(content, &asked.from).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

async fn lacking(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<PeerIdentity>>,
    Json(asked): Json<Lacking>,
) -> Response {
    if let Err(refused) = server_of(peer) {
        return *refused;
    }
    let mut content = Named::wanted(&asked.content);
    content.truncate(MAX_NAMED);
    match site.registry.lacking(content).await {
        Ok(lacking) => Json(Lacking { content: Named::all(&lacking) }).into_response(),
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
struct From {
    repository: Option<String>,
}

async fn content(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<PeerIdentity>>,
    Path(digest): Path<String>,
    Query(from): Query<From>,
) -> Response {
    if let Err(refused) = server_of(peer) {
        return *refused;
    }
    let Ok(digest) = digest.parse::<Digest>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let repository = match from.repository.map(|name| name.parse()).transpose() {
        Ok(repository) => repository,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    match site.registry.open_for(repository, digest).await {
        Ok(Some(reader)) => {
            let length = reader.size().to_string();
            let body = if reader.size() == 0 { Body::empty() } else { body_of(reader) };
            (StatusCode::OK, [(header::CONTENT_LENGTH, length)], body).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failed(&error),
    }
}
