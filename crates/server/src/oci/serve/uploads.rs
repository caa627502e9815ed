//! `/v2/<name>/blobs/uploads/…`: starting, mounting, continuing, finishing, cancelling.

use axum::body::Body;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;
use image::Digest;
use image::content::UploadId;

use super::answer::{self, Refusal};
use super::body::{Incoming, Limits, receive};
use super::{CONTENT_DIGEST, Call, Service};
use crate::oci::range;
use crate::oci::session::Session;
use crate::oci::{Action, NameError, RegistryError, RepositoryName};

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Service {
    /// Starts an upload, or makes a blob in one request.
    pub(super) async fn uploads(
        &self,
        call: &Call,
        body: Body,
        repository: RepositoryName,
    ) -> Result<Response, Refusal> {
        if call.method != Method::POST {
            return Err(Refusal::method(&call.method, "POST"));
        }
        self.allow(&call.asker, &repository, Action::Push).await?;
        if let Some(digest) = self.mount(call, &repository).await? {
            return Ok(created(&repository, &digest));
        }
        let digest = call.parameter("digest").map(parse_digest).transpose()?;
        if let Some(length) = length(call) {
            self.check_length(&"a blob", length)?;
        }
        let place = repository.clone();
        let session = self.registry.blocking(move |inner| inner.start_upload(&place)).await?;
        let id = session.id;
        let Some(digest) = digest else {
            return Ok(progress(StatusCode::ACCEPTED, &repository, id, session.offset()));
        };
        match self.complete(body, repository.clone(), session, None, digest).await {
            Ok(()) => Ok(created(&repository, &digest)),
            Err(refusal) => {
                // Nobody knows its name, so nobody can continue it.
                let cancelled = self.registry.blocking(move |inner| {
                    let session = inner.claim_upload(&repository, &id.to_string())?;
                    inner.cancel_upload(session)
                });
                match cancelled.await {
                    Ok(()) | Err(RegistryError::UploadUnknown { .. }) => {}
                    Err(error) => tracing::warn!(%id, %error, "cancelling an upload failed"),
                }
                Err(refusal)
            }
        }
    }

    /// Mounts a blob, if that is asked for and possible; else an upload starts as usual
    /// (OCI distribution specification, "Mounting a blob from another repository").
    async fn mount(
        &self,
        call: &Call,
        repository: &RepositoryName,
    ) -> Result<Option<Digest>, Refusal> {
        let (Some(digest), Some(from)) = (call.parameter("mount"), call.parameter("from")) else {
            return Ok(None);
        };
        let (Ok(digest), Ok(from)) = (digest.parse::<Digest>(), from.parse::<RepositoryName>())
        else {
            return Ok(None);
        };
        // Who may not see the blob is told nothing about it.
        if self.allow(&call.asker, &from, Action::Pull).await.is_err() {
            return Ok(None);
        }
        let repository = repository.clone();
        let mounted =
            self.registry.blocking(move |inner| inner.mount(&repository, &from, &digest)).await?;
        Ok(mounted.then_some(digest))
    }

    /// An upload that was started.
    pub(super) async fn upload(
        &self,
        call: &Call,
        body: Body,
        repository: RepositoryName,
        id: String,
    ) -> Result<Response, Refusal> {
        let methods = [Method::GET, Method::HEAD, Method::PATCH, Method::PUT, Method::DELETE];
        if !methods.contains(&call.method) {
            return Err(Refusal::method(&call.method, "GET, HEAD, PATCH, PUT, DELETE"));
        }
        self.allow(&call.asker, &repository, Action::Push).await?;
        let digest = match call.method {
            Method::PUT => {
                let digest = call.parameter("digest").ok_or_else(Refusal::digest_missing)?;
                Some(parse_digest(digest)?)
            }
            _ => None,
        };
        let place = repository.clone();
        let session = self.registry.blocking(move |inner| inner.claim_upload(&place, &id)).await?;
        let id = session.id;
        match (&call.method, digest) {
            (&Method::PUT, Some(digest)) => {
                let chunk = self.check_chunk(call, &repository, &session)?;
                self.complete(body, repository.clone(), session, chunk, digest).await?;
                Ok(created(&repository, &digest))
            }
            (&Method::PATCH, _) => {
                let chunk = self.check_chunk(call, &repository, &session)?;
                let session = self.take(body, session, chunk).await?;
                Ok(progress(StatusCode::ACCEPTED, &repository, id, session.offset()))
            }
            (&Method::DELETE, _) => {
                self.registry.blocking(move |inner| inner.cancel_upload(session)).await?;
                Ok(answer::empty(StatusCode::NO_CONTENT, &[]))
            }
            _ => Ok(progress(StatusCode::NO_CONTENT, &repository, id, session.offset())),
        }
    }

    /// Takes the rest of a blob and makes it one.
    async fn complete(
        &self,
        body: Body,
        repository: RepositoryName,
        session: Session,
        chunk: Option<u64>,
        digest: Digest,
    ) -> Result<(), Refusal> {
        let session = self.take(body, session, chunk).await?;
        let finish = move |inner: &crate::oci::registry::Inner| {
            inner.finish_upload(&repository, session, &digest)
        };
        Ok(self.registry.blocking(finish).await?)
    }

    async fn take(
        &self,
        body: Body,
        session: Session,
        chunk: Option<u64>,
    ) -> Result<Session, RegistryError> {
        let options = &self.registry.inner().options;
        let what = format!("upload {}", session.id);
        let body = Incoming::new(body, options.body_idle, what);
        let limits = Limits { blob: options.max_blob_bytes, chunk };
        receive(&self.registry, session, body, limits).await
    }

    /// Refuses, before its body is read, a chunk that does not fit; gives the length that its range
    /// says.
    fn check_chunk(
        &self,
        call: &Call,
        repository: &RepositoryName,
        session: &Session,
    ) -> Result<Option<u64>, Refusal> {
        let (id, offset) = (session.id, session.offset());
        if let Some(length) = length(call) {
            let total = offset.saturating_add(length);
            self.check_length(&format_args!("upload {id}"), total)?;
        }
        let Some(given) = call.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
        let given = given.to_str().unwrap_or_default();
        match range::chunk(given).filter(|range| *range.start() == offset) {
            None => {
                let range = given.chars().take(100).collect();
                let gap = RegistryError::Gap { id: id.to_string(), range, offset };
                Err(Refusal::from(gap)
                    .with(header::LOCATION, &location(repository, id))
                    .with(header::RANGE, &received(offset))
                    .with(UPLOAD_UUID, &id.to_string()))
            }
            Some(range) => {
                let declared = range.end() - range.start() + 1;
                if length(call).is_some_and(|length| length != declared) {
                    let id = id.to_string();
                    return Err(RegistryError::ChunkLength { id, declared }.into());
                }
                Ok(Some(declared))
            }
        }
    }

    fn check_length(&self, what: &dyn std::fmt::Display, length: u64) -> Result<(), RegistryError> {
        let limit = self.registry.inner().options.max_blob_bytes;
        if length <= limit {
            return Ok(());
        }
        Err(RegistryError::TooLarge { what: what.to_string(), limit })
    }
}

fn parse_digest(text: &str) -> Result<Digest, RegistryError> {
    Ok(text.parse().map_err(NameError::Digest)?)
}

/// What the request says of its body's length.
fn length(call: &Call) -> Option<u64> {
    call.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

fn location(repository: &RepositoryName, id: UploadId) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}")
}

/// The bytes that came, as a range whose end is inside; that of nothing is `0-0`, as everywhere.
fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn progress(
    status: StatusCode,
    repository: &RepositoryName,
    id: UploadId,
    offset: u64,
) -> Response {
    answer::empty(
        status,
        &[
            (header::LOCATION, &location(repository, id)),
            (header::RANGE, &received(offset)),
            (UPLOAD_UUID, &id.to_string()),
        ],
    )
}

fn created(repository: &RepositoryName, digest: &Digest) -> Response {
    let location = format!("/v2/{repository}/blobs/{digest}");
    let digest = digest.to_string();
    answer::empty(StatusCode::CREATED, &[(header::LOCATION, &location), (CONTENT_DIGEST, &digest)])
}
