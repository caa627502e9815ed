//! Answers: JSON bodies, errors with their statuses, and the revision that goes with each.

use api::error::{ApiError, ErrorCode};
use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Serialize;
use store::Revision;

/// The header that says which revision an answer shows, or a request wants to see.
pub(super) const REVISION: HeaderName = HeaderName::from_static("freehold-revision");

/// The header that says which authorities the cluster has: the SHA-256 of their PEM text.
const AUTHORITIES: HeaderName = HeaderName::from_static("freehold-authorities");

/// Says which authorities the cluster has, for clients that keep them.
pub(super) fn note_authorities(response: &mut Response, pem: &str) {
    let digest = image::Digest::of(pem.as_bytes()).to_string();
    if let Ok(value) = HeaderValue::from_str(&digest) {
        response.headers_mut().insert(AUTHORITIES, value);
    }
}

/// A JSON answer.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => with_body(status, "application/json", Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "write an answer");
            refuse(&ApiError::new(ErrorCode::Internal, "the answer could not be written"))
        }
    }
}

/// An answer with this body.
pub(super) fn with_body(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error as an answer.
pub(super) fn refuse(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.code.http_status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::warn!(code = ?error.code, message = error.message, "a request failed");
    }
    let bytes = serde_json::to_vec(error).unwrap_or_default();
    let mut response = with_body(status, "application/json", Body::from(bytes));
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §11.6.1, RFC 6750 §3.
        let challenge = HeaderValue::from_static("Bearer realm=\"freehold\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What is answered to a path that does not exist.
pub(super) fn unknown_path(path: &str) -> Response {
    let path: String = path.chars().take(200).collect();
    refuse(
        &ApiError::new(ErrorCode::NotFound, format!("there is no {path} here"))
            .hint("GET /v1/openapi.json lists what there is"),
    )
}

/// What is answered to a method that a path does not have (RFC 9110 §15.5.6).
pub(super) fn unknown_method(method: &Method, path: &str) -> Response {
    let path: String = path.chars().take(200).collect();
    let error = ApiError::new(ErrorCode::Invalid, format!("{path} does not take {method}"))
        .hint("GET /v1/openapi.json lists what it takes");
    let mut response = refuse(&error);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// Notes which revision an answer shows, unless that is known better already.
pub(super) fn note_revision(response: &mut Response, revision: Revision) {
    let value = HeaderValue::from(revision.0);
    response.headers_mut().entry(REVISION).or_insert(value);
}
