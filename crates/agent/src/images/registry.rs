//! The reading half of the OCI distribution protocol: manifests and blobs by digest.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use image::Digest;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::timeout;

use super::auth::{Challenge, parse_challenge, token_url};
use super::origin::Origin;
use super::transport::{TransportError, is_redirect};

/// How often an answer may send us on; storage behind registries takes one or two.
const MAX_REDIRECTS: usize = 5;

/// The largest manifest or configuration that is read.
const MAX_DOCUMENT_BYTES: usize = image::manifest::MAX_DOCUMENT_BYTES;

/// How long a document may take as a whole.
const DOCUMENT_WITHIN: Duration = Duration::from_secs(60);

/// The documents we understand, in the order we like them.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be asked.
    #[error("reach the registry")]
    Transport(#[from] TransportError),
    /// It refused.
    #[error("fetch {url}: the registry answered {status}{detail}")]
    Refused {
        /// What was asked.
        url: String,
        /// Its answer.
        status: StatusCode,
        /// What it said beside, with `: ` in front; or nothing.
        detail: String,
    },
    /// The document is too large or was broken off.
    #[error("fetch {url}: {why}")]
    Document {
        /// What was asked.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The content is not what its digest names.
    #[error("fetch {url}: its content has digest {found}")]
    Digest {
        /// What was asked.
        url: String,
        /// What came.
        found: Digest,
    },
    /// It sent us round and round.
    #[error("fetch {0}: sent on too often")]
    Redirects(String),
    /// No server is configured.
    #[error("fetch an image: no registry address is known")]
    Nowhere,
}

impl RegistryError {
    /// Whether asking again may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Transport(error) => error.retryable(),
            Self::Refused { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 404 | 408 | 425 | 429)
            }
            Self::Document { .. } => true,
            Self::Digest { .. } | Self::Redirects(_) | Self::Nowhere => false,
        }
    }
}

/// One repository of one registry.
#[derive(Debug)]
pub(super) struct Repository {
    origin: Origin,
    name: String,
    /// What was accepted last, to be shown at once the next time.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Repository {
    pub(super) fn new(origin: Origin, name: &str) -> Self {
        Self { origin, name: name.to_owned(), authorization: Mutex::new(None) }
    }

    /// A manifest or index with its media type, verified.
    pub(super) async fn manifest(
        &self,
        digest: &Digest,
    ) -> Result<(Vec<u8>, Option<String>), RegistryError> {
        let (url, answer) = self.get("manifests", digest, Some(ACCEPTED)).await?;
        let media = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.map(|media| media.split(';').next().unwrap_or(media).trim().to_owned());
        Ok((document(&url, answer, digest).await?, media))
    }

    /// A small blob (a configuration), verified.
    pub(super) async fn document(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let (url, answer) = self.get("blobs", digest, None).await?;
        document(&url, answer, digest).await
    }

    /// A blob's bytes, to be verified by who reads them.
    pub(super) async fn blob(&self, digest: &Digest) -> Result<Incoming, RegistryError> {
        Ok(self.get("blobs", digest, None).await?.1.into_body())
    }

    /// Asks one place after the other until one answers.
    async fn get(
        &self,
        kind: &str,
        digest: &Digest,
        accept: Option<&'static str>,
    ) -> Result<(String, Response<Incoming>), RegistryError> {
        let mut last = RegistryError::Nowhere;
        for base in &self.origin.bases {
            let url = format!("{base}/v2/{}/{kind}/{digest}", self.name);
            match self.get_from(&url, accept).await {
                Ok(answer) => return Ok((url, answer)),
                Err(error) if error.retryable() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn get_from(
        &self,
        url: &str,
        accept: Option<&'static str>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let known = self.authorization.lock().clone();
        let answer = self.follow(url, accept, known).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return accepted(url, answer).await;
        }
        let challenge = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .find_map(|value| parse_challenge(value.to_str().ok()?));
        let Some(challenge) = challenge else { return accepted(url, answer).await };
        drop(answer);
        let Some(shown) = self.authorize(&challenge).await? else {
            let detail = ": it asks for credentials; hint: freehold registry add HOST".to_owned();
            let status = StatusCode::UNAUTHORIZED;
            return Err(RegistryError::Refused { url: url.to_owned(), status, detail });
        };
        let answer = self.follow(url, accept, Some(shown.clone())).await?;
        let answer = accepted(url, answer).await?;
        *self.authorization.lock() = Some(shown);
        Ok(answer)
    }

    /// Asks, and asks on where it is sent to. Credentials stay with the first host.
    async fn follow(
        &self,
        url: &str,
        accept: Option<&'static str>,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut uri = parsed(url)?;
        let first = uri.authority().cloned();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            if let Some(value) =
                authorization.as_ref().filter(|_| uri.authority() == first.as_ref())
            {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let answer = self.origin.transport.send(Method::GET, &uri, &headers).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            uri = join(&uri, location.unwrap_or_default())?;
        }
        Err(RegistryError::Redirects(url.to_owned()))
    }

    /// What to show for a challenge; none when there is nothing to show.
    async fn authorize(&self, challenge: &Challenge) -> Result<Option<HeaderValue>, RegistryError> {
        let basic = self.origin.credentials.as_ref().and_then(|(user, password)| {
            let both = STANDARD.encode(format!("{user}:{password}"));
            sensitive(&format!("Basic {both}"))
        });
        let Challenge::Bearer { realm, query } = challenge else { return Ok(basic) };
        let mut query = query.clone();
        query.entry("scope".into()).or_insert_with(|| format!("repository:{}:pull", self.name));
        let url = token_url(realm, &query);
        let answer = self.follow(&url, None, basic).await?;
        let body = read(&url, accepted(&url, answer).await?).await?;
        let token: Token = serde_json::from_slice(&body)
            .map_err(|error| RegistryError::Document { url, why: error.to_string() })?;
        Ok(token.token.or(token.access_token).and_then(|t| sensitive(&format!("Bearer {t}"))))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn parsed(url: &str) -> Result<Uri, RegistryError> {
    url.parse().map_err(|_| TransportError::Address(url.to_owned()).into())
}

/// Where a `Location` leads from `base`: absolute, or a path on the same host.
fn join(base: &Uri, location: &str) -> Result<Uri, RegistryError> {
    if !location.starts_with('/') {
        return parsed(location);
    }
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    parsed(&format!("{scheme}://{authority}{location}"))
}

/// Passes a good answer on and makes an error of any other.
async fn accepted(
    url: &str,
    answer: Response<Incoming>,
) -> Result<Response<Incoming>, RegistryError> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let said = read(url, answer).await.unwrap_or_default();
    let said: String = String::from_utf8_lossy(&said).chars().take(300).collect();
    let detail = if said.trim().is_empty() { said } else { format!(": {}", said.trim()) };
    Err(RegistryError::Refused { url: url.to_owned(), status, detail })
}

async fn read(url: &str, answer: Response<Incoming>) -> Result<Bytes, RegistryError> {
    let failed = |why: String| RegistryError::Document { url: url.to_owned(), why };
    let body = Limited::new(answer.into_body(), MAX_DOCUMENT_BYTES).collect();
    match timeout(DOCUMENT_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("broken off: it took too long".to_owned())),
    }
}

async fn document(
    url: &str,
    answer: Response<Incoming>,
    digest: &Digest,
) -> Result<Vec<u8>, RegistryError> {
    let bytes = read(url, answer).await?;
    let found = Digest::of(&bytes);
    if found == *digest {
        return Ok(bytes.into());
    }
    Err(RegistryError::Digest { url: url.to_owned(), found })
}

#[cfg(test)]
mod tests;
