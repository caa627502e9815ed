//! Where image references are resolved: in the embedded registry, or in one off the cluster.

use std::sync::Arc;

use api::digest::Digest;
use api::error::{ApiError, ErrorCode};
use api::registry::Registry as Remote;
use async_trait::async_trait;
use image::Reference;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;

use crate::core::{Found, ImageSource};
use crate::oci::{Registry, RepositoryName};

/// How long a registry off the cluster may take to connect and to answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The embedded registry.
pub(crate) struct Own(pub(crate) Arc<Registry>);

#[async_trait]
impl ImageSource for Own {
    async fn resolve(
        &self,
        _: Option<&Remote>,
        reference: &Reference,
    ) -> Result<Option<Found>, ApiError> {
        let failed = |error: &dyn std::fmt::Display| {
            ApiError::new(ErrorCode::Unavailable, error.to_string())
        };
        let Ok(repository) = reference.path().parse::<RepositoryName>() else { return Ok(None) };
        loop {
            let name = (repository.as_str(), reference.wanted());
            let found = self.0.resolve(name.0, &name.1).await.map_err(|e| failed(&e))?;
            let Some(found) = found else { return Ok(None) };
            let hold = self.0.hold(repository.clone(), found.digest);
            // Between the two it may have been deleted: what is there now is held.
            let now = self.0.resolve(name.0, &name.1).await.map_err(|e| failed(&e))?;
            if now.is_some_and(|now| now.digest == found.digest) {
                let digest = digest(&found.digest.to_string())?;
                return Ok(Some(Found { digest, hold: Some(Box::new(hold)) }));
            }
        }
    }
}

/// Registries off the cluster.
pub(crate) struct Others;

#[async_trait]
impl ImageSource for Others {
    async fn resolve(
        &self,
        registry: Option<&Remote>,
        reference: &Reference,
    ) -> Result<Option<Found>, ApiError> {
        if let Some(pinned) = reference.digest() {
            return digest(&pinned.to_string()).map(outside);
        }
        let unavailable = |error: &dyn std::fmt::Display| {
            let message = format!("ask a registry about {reference}: {error}");
            ApiError::new(ErrorCode::Unavailable, message)
                .hint("freehold registry add HOST sets credentials, certificates and a proxy")
        };
        let client = oci_client::Client::try_from(config(registry)).map_err(|e| unavailable(&e))?;
        let auth = match registry.and_then(|r| r.username.as_ref().zip(r.password.as_ref())) {
            Some((user, password)) => RegistryAuth::Basic(user.clone(), password.0.clone()),
            None => RegistryAuth::Anonymous,
        };
        let name: oci_client::Reference =
            reference.to_string().parse().map_err(|error: oci_client::ParseError| {
                ApiError::new(ErrorCode::Invalid, error.to_string())
            })?;
        match client.fetch_manifest_digest(&name, &auth).await {
            Ok(found) => digest(&found).map(outside),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

fn config(registry: Option<&Remote>) -> ClientConfig {
    let plain = registry.is_some_and(|registry| registry.plain_http);
    let pem = registry.and_then(|registry| registry.ca_pem.as_ref());
    let proxy = registry.and_then(|registry| registry.proxy.clone());
    ClientConfig {
        protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates: pem
            .map(|pem| Certificate {
                encoding: CertificateEncoding::Pem,
                data: pem.as_bytes().to_vec(),
            })
            .into_iter()
            .collect(),
        read_timeout: Some(TIMEOUT),
        connect_timeout: Some(TIMEOUT),
        user_agent: concat!("freehold/", env!("CARGO_PKG_VERSION")),
        https_proxy: proxy.clone(),
        http_proxy: proxy,
        ..ClientConfig::default()
    }
}

fn is_unknown(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .any(|e| matches!(e.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown)),
        OciDistributionError::ServerError { code, .. } => *code == 404,
        _ => false,
    }
}

/// An image that is not ours to keep.
fn outside(digest: Digest) -> Option<Found> {
    Some(Found { digest, hold: None })
}

fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: api::id::InvalidName| {
        ApiError::new(ErrorCode::Unavailable, format!("read a registry's answer: {error}"))
    })
}
