//! `/v2/<name>/manifests/<reference>`: reading, storing, deleting.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use image::ContentError;
use image::manifest::MAX_DOCUMENT_BYTES;

use super::answer::{self, Refusal};
use super::blobs::FOREVER;
use super::body::Incoming;
use super::{CONTENT_DIGEST, Call, Service};
use crate::oci::push::Pushed;
use crate::oci::{Action, Copies, ManifestName, RegistryError, RepositoryName};

/// Tells the client that its manifest is in the list of referrers (OCI distribution specification,
/// "Pushing Manifests with Subject").
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl Service {
    pub(super) async fn manifest(
        &self,
        call: &Call,
        body: Body,
        repository: RepositoryName,
        name: &str,
    ) -> Result<Response, Refusal> {
        let action = match call.method {
            Method::GET | Method::HEAD => Action::Pull,
            Method::PUT => Action::Push,
            Method::DELETE => Action::Delete,
            ref other => return Err(Refusal::method(other, "GET, HEAD, PUT, DELETE")),
        };
        self.allow(&call.asker, &repository, action).await?;
        let parsed: ManifestName = name.parse().map_err(RegistryError::from)?;
        match action {
            Action::Push => self.put_manifest(call, body, repository, parsed).await,
            Action::Delete => {
                self.registry.delete(repository.as_str(), name, &*self.in_use).await?;
                Ok(answer::empty(StatusCode::ACCEPTED, &[]))
            }
            Action::Pull | Action::List => self.read_manifest(call, repository, parsed).await,
        }
    }

    async fn read_manifest(
        &self,
        call: &Call,
        repository: RepositoryName,
        name: ManifestName,
    ) -> Result<Response, Refusal> {
        let by_digest = matches!(name, ManifestName::Digest(_));
        let get = call.method == Method::GET;
        let accepted: Vec<String> = call
            .headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let found = self.registry.find(&repository, &name).await?;
        let unknown = || RegistryError::ManifestUnknown { repository, manifest: name };
        let Some(row) = found else { return Err(unknown().into()) };
        let (row, content) = self
            .registry
            .blocking(move |inner| {
                if !get {
                    return Ok((row, Vec::new()));
                }
                match inner.content.read(&row.digest, MAX_DOCUMENT_BYTES as u64) {
                    Ok(content) => Ok((row, content)),
                    Err(ContentError::NotFound(_)) => Err(unknown()),
                    Err(error) => Err(error.into()),
                }
            })
            .await?;
        if !accepts(&accepted, &row.media_type) {
            return Err(Refusal::not_accepted(&row.media_type));
        }
        let (tag, digest) = (format!("\"{}\"", row.digest), row.digest.to_string());
        let caching = if by_digest { FOREVER } else { "no-cache" };
        let headers = [
            (CONTENT_DIGEST, digest.as_str()),
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, caching),
            (header::CONTENT_TYPE, row.media_type.as_str()),
        ];
        if call.has_already(&tag) {
            return Ok(answer::empty(StatusCode::NOT_MODIFIED, &headers[..3]));
        }
        let mut response = answer::empty(StatusCode::OK, &headers);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(row.size));
        *response.body_mut() = Body::from(content);
        Ok(response)
    }

    async fn put_manifest(
        &self,
        call: &Call,
        body: Body,
        repository: RepositoryName,
        name: ManifestName,
    ) -> Result<Response, Refusal> {
        let declared = call.header(header::CONTENT_TYPE).map(|media| {
            media.split_once(';').map_or(media, |(media, _)| media).trim().to_ascii_lowercase()
        });
        let pusher = call.asker.name().to_owned();
        let what = format!("manifest {name}");
        let idle = self.registry.inner().options.body_idle;
        let content = Incoming::new(body, idle, what).whole(MAX_DOCUMENT_BYTES).await?;
        let place = repository.clone();
        let pushed = Pushed { repository: place, name, declared, content, pusher };
        let (stored, copies) = self.registry.take_manifest(pushed).await?;
        let digest = stored.digest.to_string();
        let location = format!("/v2/{repository}/manifests/{digest}");
        let mut headers = vec![(header::LOCATION, &location), (CONTENT_DIGEST, &digest)];
        let subject = stored.subject.map(|subject| subject.to_string());
        if let Some(subject) = &subject {
            headers.push((SUBJECT, subject));
        }
        let warning = match copies {
            Copies::Enough | Copies::Single => None,
            Copies::Short(why) => Some(warning(&why)),
        };
        if let Some(warning) = &warning {
            headers.push((header::WARNING, warning));
        }
        let headers: Vec<_> = headers.into_iter().map(|(n, v)| (n, v.as_str())).collect();
        Ok(answer::empty(StatusCode::CREATED, &headers))
    }
}

/// A warning for people, which clients show (OCI distribution specification, "Warnings").
fn warning(why: &str) -> String {
    let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let why: String = why.chars().filter(plain).filter(|c| !matches!(c, '"' | '\\')).collect();
    format!("299 - \"{why}; the image is copied as soon as can be\"")
}

/// Whether a client that sent these `Accept` headers can read `media`. No header accepts all.
fn accepts(headers: &[String], media: &str) -> bool {
    let mut ranges = headers
        .iter()
        .flat_map(|header| header.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .filter(|range| !range.is_empty())
        .peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            matches!(range, "*/*" | "application/*") || range.eq_ignore_ascii_case(media)
        })
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn what_is_accepted() {
        let check = |headers: &[&str], expected: bool| {
            let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
            assert_eq!(accepts(&headers, "application/x+json"), expected, "{headers:?}");
        };
        check(&[], true);
        check(&[""], true);
        check(&["*/*"], true);
        check(&["text/html", "application/*;q=0.1"], true);
        check(&["text/html, application/X+json"], true);
        check(&["text/html", "application/json"], false);
    }
}
