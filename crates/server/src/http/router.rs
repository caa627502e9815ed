//! The router: the table's endpoints, the image registry and the agents' requests under one roof.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::endpoint::Context;
use super::listen::Serving;
use super::{answer, table};
use crate::access::{Releases, Users};
use crate::copies;
use crate::core::Core;
use crate::link;
use crate::peer;

/// Everything that is served. `stop` ends answers that would go on for ever.
pub(super) fn router(core: &Arc<Core>, serving: &Serving, stop: &CancellationToken) -> Router {
    let (registry, trust) = (serving.registry.clone(), serving.trust.clone());
    let context = Context { core: core.clone(), registry, trust, stop: stop.clone() };
    let mut endpoints = Router::new();
    for endpoint in table::endpoints() {
        let filter = MethodFilter::try_from(endpoint.method.clone())
            .expect("the table has methods that routers know");
        let service = endpoint.service(context.clone());
        endpoints = endpoints.route(endpoint.path, on(filter, service));
    }
    let (users, releases) = (Arc::new(Users(core.clone())), Arc::new(Releases(core.clone())));
    let images = serving.registry.router(users, releases);
    let ends = stop.clone();
    let agents = link::router(core.clone())
        .layer(middleware::map_response(move |response| ended_by(ends.clone(), response)));
    let ends = stop.clone();
    let peers = peer::router(core.clone())
        .merge(copies::router(serving.registry.clone()))
        .layer(middleware::map_response(move |response| ended_by(ends.clone(), response)));
    endpoints
        .method_not_allowed_fallback(async |request: Request| {
            answer::unknown_method(request.method(), request.uri().path())
        })
        .merge(images)
        .merge(peers)
        .merge(agents)
        .fallback(async |request: Request| answer::unknown_path(request.uri().path()))
        .layer(middleware::from_fn_with_state(core.clone(), guard))
}

/// Ends an answer that goes on for ever when the server stops.
async fn ended_by(stop: CancellationToken, response: Response) -> Response {
    let stopped = stop.cancelled_owned();
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(stopped)))
}

/// Sees to it that every answer names a revision, and that a panic is one request's misfortune.
async fn guard(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let revision = core.view().revision;
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| {
        tracing::error!(message = message_of(panic.as_ref()), "a request's handler panicked");
        let text = "the server made a mistake with this request; its log says which";
        answer::refuse(&ApiError::new(ErrorCode::Internal, text))
    });
    answer::note_revision(&mut response, revision);
    if let Some(row) = core.view().authority() {
        answer::note_authorities(&mut response, &row.authorities_pem);
    }
    response
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
