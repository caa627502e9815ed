//! Answers, above all refusals: the specification's codes with what we know of the cause.

use std::error::Error;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use image::{ContentError, ManifestError};
use serde_json::{Value, json};

use crate::oci::{AccessError, NameError, RegistryError};

/// What a client is told when it does not get what it asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// The specification's code ("Error codes"), or, where it has none, Docker's.
    code: &'static str,
    message: String,
    /// One error each, with the same code; none: one error without details.
    details: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn detail(mut self, detail: Value) -> Self {
        self.details.push(detail);
        self
    }

    pub(super) fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(300).collect();
        let message = format!("looking for endpoint {path:?}: the registry has none of that form");
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message)
    }

    pub(super) fn method(method: &Method, allowed: &'static str) -> Self {
        let message = format!("{method} is not possible here, only {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
            .with(header::ALLOW, allowed)
    }

    pub(super) fn query() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "reading the query: it is malformed")
    }

    pub(super) fn page() -> Self {
        let message = "reading the query: `n` is no number of entries";
        Self::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
    }

    pub(super) fn denied(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// Whether it is about what the asker may do.
    pub(super) fn is_denial(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    pub(super) fn digest_missing() -> Self {
        let message = "finishing an upload: the query has no digest";
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn not_accepted(media_type: &str) -> Self {
        let message =
            format!("reading a manifest: it is of type {media_type}, which is not accepted");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    }

    pub(super) fn unsatisfiable(size: u64) -> Self {
        let message = format!("reading a blob: the range is not inside its {size} bytes");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", message)
            .with(header::CONTENT_RANGE, &format!("bytes */{size}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error =
            |detail: Value| json!({ "code": self.code, "message": self.message, "detail": detail });
        let errors: Vec<Value> = match self.details.as_slice() {
            [] => vec![error(Value::Null)],
            details => details.iter().map(|detail| error(detail.clone())).collect(),
        };
        let mut response = json(json!({ "errors": errors }).to_string());
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let message = error.to_string();
        match error {
            AccessError::Unauthenticated(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
                    .with(header::WWW_AUTHENTICATE, "Basic realm=\"freehold\", charset=\"UTF-8\"")
            }
            AccessError::Denied(_) => Self::new(StatusCode::FORBIDDEN, "DENIED", message),
            AccessError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
                    .with(header::RETRY_AFTER, "1")
            }
        }
    }
}

/// What went wrong, with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        let (status, code) = classify(&error);
        if status == StatusCode::INTERNAL_SERVER_ERROR || status == StatusCode::INSUFFICIENT_STORAGE
        {
            tracing::error!(error = chain(&error), "a request to the registry failed");
        }
        let refusal = Self::new(status, code, chain(&error));
        match error {
            RegistryError::PartsUnknown { parts, .. } => parts
                .iter()
                .fold(refusal, |refusal, part| refusal.detail(json!({ "digest": part }))),
            RegistryError::BlobUnknown { digest, .. }
            | RegistryError::DigestMismatch { expected: digest, .. }
            | RegistryError::Content(ContentError::Mismatch { expected: digest, .. }) => {
                refusal.detail(json!({ "digest": digest }))
            }
            RegistryError::InUse { user, .. } => refusal.detail(json!({ "user": user })),
            RegistryError::TooManyUploads(_)
            | RegistryError::UsersUnknown(_)
            | RegistryError::UsersChanging
            | RegistryError::Cluster(_)
            | RegistryError::Stopping
            | RegistryError::Content(ContentError::UploadBusy(_)) => {
                refusal.with(header::RETRY_AFTER, "1")
            }
            // A client that broke off or lost its way can't be on this connection's next request.
            RegistryError::Interrupted { .. } | RegistryError::TooLarge { .. } => {
                refusal.with(header::CONNECTION, "close")
            }
            _ => refusal,
        }
    }
}

/// Status and code of an error (OCI distribution specification, "Error codes" and "Endpoints").
fn classify(error: &RegistryError) -> (StatusCode, &'static str) {
    use StatusCode as S;
    if error.disk_full() {
        return (S::INSUFFICIENT_STORAGE, "UNKNOWN");
    }
    match error {
        RegistryError::Name(NameError::Repository(_)) => (S::BAD_REQUEST, "NAME_INVALID"),
        RegistryError::Name(NameError::Tag(_)) => (S::BAD_REQUEST, "TAG_INVALID"),
        RegistryError::Name(NameError::Digest(_))
        | RegistryError::DigestMismatch { .. }
        | RegistryError::Content(ContentError::Mismatch { .. }) => {
            (S::BAD_REQUEST, "DIGEST_INVALID")
        }
        RegistryError::RepositoryUnknown(_) => (S::NOT_FOUND, "NAME_UNKNOWN"),
        RegistryError::BlobUnknown { .. } => (S::NOT_FOUND, "BLOB_UNKNOWN"),
        RegistryError::ManifestUnknown { .. } => (S::NOT_FOUND, "MANIFEST_UNKNOWN"),
        RegistryError::UploadUnknown { .. } | RegistryError::Content(ContentError::NoUpload(_)) => {
            (S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
        }
        RegistryError::Gap { .. } => (S::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
        RegistryError::ChunkLength { .. } => (S::BAD_REQUEST, "SIZE_INVALID"),
        RegistryError::TooLarge { .. }
        | RegistryError::Manifest(ManifestError::TooLarge { .. }) => {
            (S::PAYLOAD_TOO_LARGE, "SIZE_INVALID")
        }
        RegistryError::TooManyUploads(_) => (S::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
        RegistryError::Manifest(ManifestError::Digest { .. }) => (S::BAD_REQUEST, "DIGEST_INVALID"),
        RegistryError::Manifest(_) => (S::BAD_REQUEST, "MANIFEST_INVALID"),
        RegistryError::PartSize { .. } => (S::BAD_REQUEST, "SIZE_INVALID"),
        RegistryError::PartsUnknown { .. } => (S::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"),
        RegistryError::InUse { .. } | RegistryError::BlobNeeded { .. } => (S::FORBIDDEN, "DENIED"),
        RegistryError::Interrupted { .. } => (S::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID"),
        RegistryError::UsersUnknown(_)
        | RegistryError::UsersChanging
        | RegistryError::Cluster(_)
        | RegistryError::Stopping
        | RegistryError::Content(ContentError::UploadBusy(_)) => {
            (S::SERVICE_UNAVAILABLE, "UNAVAILABLE")
        }
        RegistryError::Content(_) | RegistryError::Database { .. } | RegistryError::Open { .. } => {
            (S::INTERNAL_SERVER_ERROR, "UNKNOWN")
        }
    }
}

/// A document in JSON.
pub(super) fn json(text: String) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// An answer without a body. Texts that no header can have do not occur: all come from parsed
/// names, digests and numbers.
pub(super) fn empty(status: StatusCode, headers: &[(HeaderName, &str)]) -> Response {
    let mut response = (status, Body::empty()).into_response();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("names, digests and numbers are ASCII");
        response.headers_mut().insert(name, value);
    }
    response
}
