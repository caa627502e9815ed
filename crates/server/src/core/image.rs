//! What an image reference stands for: a registry, a repository and a digest.

use std::sync::Arc;

use api::digest::Digest;
use api::error::{ApiError, ErrorCode};
use api::registry::Registry;
use api::release::Image;
use async_trait::async_trait;
use image::Reference;

/// What a reference stands for.
pub struct Found {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Keeps the image from being deleted until who uses it is written down.
    pub hold: Option<Held>,
}

/// Something that keeps an image while it lives.
pub type Held = Box<dyn std::any::Any + Send + Sync>;

/// Finds the digest behind a reference of one registry.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// The digest of a tag or digest in a repository; none when there is no such image.
    ///
    /// # Errors
    /// When the registry can't be asked.
    async fn resolve(
        &self,
        registry: Option<&Registry>,
        reference: &Reference,
    ) -> Result<Option<Found>, ApiError>;
}

/// Resolves references: the cluster's own by one source, all others by another.
pub struct Resolver {
    /// The cluster's own registry.
    pub own: Arc<dyn ImageSource>,
    /// Registries off the cluster.
    pub others: Arc<dyn ImageSource>,
    /// Names under which users may write the cluster's own registry: the API's addresses.
    pub own_names: Vec<String>,
}

impl Resolver {
    /// Pins a reference to its content, and keeps that as long as the second value lives. `own`
    /// says which names beside its own the cluster's registry has.
    ///
    /// # Errors
    /// When it is not a reference, there is no such image, or its registry does not answer.
    pub async fn pin(
        &self,
        text: &str,
        registries: &[Registry],
        own: impl Fn(&str) -> bool,
    ) -> Result<(Image, Option<Held>), ApiError> {
        let reference: Reference = text.parse().map_err(|error: image::ReferenceError| {
            ApiError::new(ErrorCode::Invalid, error.to_string())
                .hint("write REPOSITORY:TAG or REPOSITORY@sha256:…, with HOST/ before for others")
        })?;
        let ours = |host: &str| own(host) || self.own_names.iter().any(|name| name == host);
        let host = reference.host().filter(|host| !ours(host));
        let registry = host.map(|host| {
            let known = registries.iter().find(|registry| registry.host == host);
            known.cloned().unwrap_or_else(|| Registry {
                host: host.to_owned(),
                username: None,
                password: None,
                ca_pem: None,
                proxy: None,
                plain_http: false,
            })
        });
        let source = if registry.is_some() { &self.others } else { &self.own };
        let Some(found) = source.resolve(registry.as_ref(), &reference).await? else {
            let message = format!("there is no image {text}");
            let hint = match &registry {
                None => "push it first: freehold image push, skopeo copy, podman push".to_owned(),
                Some(registry) => format!("look in the registry {}", registry.host),
            };
            return Err(ApiError::new(ErrorCode::NotFound, message).hint(hint));
        };
        let image = Image {
            registry: registry.map(|registry| registry.host),
            repository: reference.path().to_owned(),
            tag: reference.tag().map(str::to_owned),
            digest: found.digest,
        };
        Ok((image, found.hold))
    }
}
