//! `/v2/<name>/blobs/<digest>`: reading, in ranges too, and deleting.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use image::{ContentError, Digest};

use super::answer::{self, Refusal};
use super::{CONTENT_DIGEST, Call, Service, body};
use crate::oci::range::{self, Wanted};
use crate::oci::{Action, NameError, RegistryError, RepositoryName};

/// A digest's content never changes, so caches may keep it for a year; only for who may see it.
pub(super) const FOREVER: &str = "private, max-age=31536000, immutable";

impl Service {
    pub(super) async fn blob(
        &self,
        call: &Call,
        repository: RepositoryName,
        digest: &str,
    ) -> Result<Response, Refusal> {
        let digest = || {
            let parsed = digest.parse::<Digest>().map_err(NameError::Digest);
            parsed.map_err(|error| Refusal::from(RegistryError::from(error)))
        };
        match call.method {
            Method::GET | Method::HEAD => {
                self.allow(&call.asker, &repository, Action::Pull).await?;
                self.read_blob(call, repository, digest()?).await
            }
            Method::DELETE => {
                self.allow(&call.asker, &repository, Action::Delete).await?;
                self.delete_blob(repository, digest()?).await
            }
            ref other => Err(Refusal::method(other, "GET, HEAD, DELETE")),
        }
    }

    async fn read_blob(
        &self,
        call: &Call,
        repository: RepositoryName,
        digest: Digest,
    ) -> Result<Response, Refusal> {
        let size = self.registry.size_of(&repository, &digest).await?;
        let tag = format!("\"{digest}\"");
        let name = digest.to_string();
        let mut headers = vec![
            (CONTENT_DIGEST, name.as_str()),
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, FOREVER),
            (header::ACCEPT_RANGES, "bytes"),
        ];
        if call.has_already(&tag) {
            return Ok(answer::empty(StatusCode::NOT_MODIFIED, &headers));
        }
        headers.push((header::CONTENT_TYPE, "application/octet-stream"));
        // Ranges are for GET alone (RFC 9110 §14.2), and of the content that the client means.
        let meant = call.header(header::IF_RANGE).is_none_or(|given| given == tag);
        let wanted = match call.header(header::RANGE) {
            Some(given) if meant && call.method == Method::GET => range::wanted(given, size),
            _ => Wanted::Whole,
        };
        let (status, start, length) = match &wanted {
            Wanted::Whole => (StatusCode::OK, 0, size),
            Wanted::Part(part) => {
                (StatusCode::PARTIAL_CONTENT, *part.start(), part.end() - part.start() + 1)
            }
            Wanted::Unsatisfiable => return Err(Refusal::unsatisfiable(size)),
        };
        let mut response = answer::empty(status, &headers);
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Wanted::Part(part) = wanted {
            let range = format!("bytes {}-{}/{size}", part.start(), part.end());
            let range = HeaderValue::from_str(&range).expect("numbers are ASCII");
            fields.insert(header::CONTENT_RANGE, range);
        }
        if call.method == Method::GET && length > 0 {
            *response.body_mut() = self.open(repository, digest, start, length, size).await?;
        }
        Ok(response)
    }

    async fn open(
        &self,
        repository: RepositoryName,
        digest: Digest,
        start: u64,
        length: u64,
        size: u64,
    ) -> Result<Body, RegistryError> {
        if !self.registry.content().has(&digest)? {
            // A part of it is read from the disk, once all of it is there.
            if length < size {
                self.registry.fetch(&repository, &digest).await?;
            } else if let Some(body) = self.registry.open_elsewhere(&repository, &digest).await? {
                return Ok(body);
            }
        }
        let reader = self
            .registry
            .blocking(move |inner| match inner.content.range(&digest, start, length) {
                // Deleted since we looked.
                Err(ContentError::NotFound(_)) => {
                    Err(RegistryError::BlobUnknown { repository, digest })
                }
                other => Ok(other?),
            })
            .await?;
        Ok(body::outgoing(reader))
    }

    async fn delete_blob(
        &self,
        repository: RepositoryName,
        digest: Digest,
    ) -> Result<Response, Refusal> {
        let gone = {
            let repository = repository.clone();
            self.registry
                .blocking(move |inner| inner.metadata.unlink_blob(&repository, &digest))
                .await?
        };
        if gone {
            Ok(answer::empty(StatusCode::ACCEPTED, &[]))
        } else {
            Err(RegistryError::BlobUnknown { repository, digest }.into())
        }
    }
}
