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

use crate::core::ImageSource;
use crate::oci::Registry;

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
    ) -> Result<Option<Digest>, ApiError> {
        let registry = self.0.clone();
        let (repository, wanted) = (reference.path().to_owned(), reference.wanted());
        let resolve = move || registry.resolve(&repository, &wanted);
        let failed = |error: String| ApiError::new(ErrorCode::Unavailable, error);
        let found =
            tokio::task::spawn_blocking(resolve).await.map_err(|e| failed(e.to_string()))?;
        let found = found.map_err(|error| failed(error.to_string()))?;
        found.map(|found| digest(&found.digest.to_string())).transpose()
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
    ) -> Result<Option<Digest>, ApiError> {
        if let Some(pinned) = reference.digest() {
            return digest(&pinned.to_string()).map(Some);
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
            Ok(found) => digest(&found).map(Some),
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

fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: api::id::InvalidName| {
        ApiError::new(ErrorCode::Unavailable, format!("read a registry's answer: {error}"))
    })
}
