//! A registry in a temporary directory, asked over its router without any network, or served.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use image::Digest;
use serde_json::{Value, json};
use server::oci::{
    Access, AccessError, Action, ImageUse, InUse, InUseError, Options, Registry, RepositoryName,
    Who,
};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `admin` may do all, `reader` pull, `retail` all below `retail/`; `down` can't be checked.
pub(crate) struct Tokens;

#[async_trait]
impl Access for Tokens {
    async fn authenticate(&self, _user: Option<&str>, secret: &str) -> Result<Who, AccessError> {
        match secret {
            "admin" | "reader" | "retail" => Ok(Who::new(secret, secret.to_owned())),
            "down" => Err(AccessError::Unavailable("the store is away".into())),
            _ => Err(AccessError::Unauthenticated("the token is not known".into())),
        }
    }

    async fn authorize(
        &self,
        who: &Who,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(), AccessError> {
        let allowed = match who.caller::<String>().map(String::as_str) {
            Some("admin") => true,
            Some("reader") => matches!(action, Action::Pull | Action::List),
            Some("retail") => repository.as_str().starts_with("retail/"),
            _ => false,
        };
        let name = who.name();
        if allowed {
            Ok(())
        } else {
            Err(AccessError::Denied(format!("{name} may not {action} repository {repository}")))
        }
    }
}

/// What is in use, as a test says.
#[derive(Default)]
pub(crate) struct Uses(pub(crate) Mutex<Vec<ImageUse>>);

#[async_trait]
impl InUse for Uses {
    async fn in_use(&self) -> Result<Vec<ImageUse>, InUseError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) registry: Registry,
    pub(crate) uses: Arc<Uses>,
    router: Router,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{body}");
        self
    }

    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code);
        answer
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), options).unwrap();
        Self { dir, ..Self::of(registry) }
    }

    /// A registry that is somewhere else.
    pub(crate) fn of(registry: Registry) -> Self {
        let uses = Arc::new(Uses::default());
        let router = registry.router(Arc::new(Tokens), uses.clone());
        Self { dir: tempfile::tempdir().unwrap(), registry, uses, router }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As `admin`.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", "Bearer admin");
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], Body::empty()).await
    }

    /// Pushes a blob in one request.
    pub(crate) async fn blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.call(Method::POST, &path, &[], content.to_vec()).await.expect(201);
        digest
    }

    /// Pushes a document.
    pub(crate) async fn put(
        &self,
        repository: &str,
        reference: &str,
        document: &Value,
    ) -> (Digest, Answer) {
        let content = document.to_string();
        let digest = Digest::of(content.as_bytes());
        let reference = if reference.is_empty() { digest.to_string() } else { reference.into() };
        let path = format!("/v2/{repository}/manifests/{reference}");
        let media = document["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        (digest, self.call(Method::PUT, &path, &[("content-type", &media)], content).await)
    }

    /// Pushes an image of these layers with its blobs; gives its digest and blobs.
    pub(crate) async fn image(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> Digest {
        let document = manifest(layers);
        self.blob(repository, b"{}").await;
        for layer in layers {
            self.blob(repository, layer).await;
        }
        let (digest, answer) = self.put(repository, tag, &document).await;
        answer.expect(201);
        digest
    }

    pub(crate) fn use_image(&self, repository: Option<&str>, digest: Digest, user: &str) {
        let repository = repository.map(|name| name.parse().unwrap());
        self.uses.0.lock().unwrap().push(ImageUse { repository, digest, user: user.into() });
    }
}

/// An image manifest of these layers.
pub(crate) fn manifest(layers: &[&[u8]]) -> Value {
    let layer = |content: &&[u8]| descriptor("application/vnd.oci.image.layer.v1.tar", content);
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

pub(crate) fn descriptor(media: &str, content: &[u8]) -> Value {
    let digest = Digest::of(content).to_string();
    json!({ "mediaType": media, "digest": digest, "size": content.len() })
}

/// Bytes that look random, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
