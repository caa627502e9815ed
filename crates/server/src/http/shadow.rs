//! Schemas of bodies whose own types have none because they hold secrets, which are never to be
//! printed. A test keeps each equal to what the type really takes and gives.

use schemars::JsonSchema;

/// `PUT /v1/secrets/TEAM/ENVIRONMENT/NAME`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct SecretRequest {
    /// The value.
    value: String,
}

/// The answer to `POST /v1/tokens`: the only time the token itself is shown.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct TokenAnswer {
    /// What is kept of it.
    token: api::token::Token,
    /// The token itself.
    secret: String,
}

/// `PUT /v1/certificates/NAME`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct CertificateRequest {
    /// The host names to serve it for; empty means those in the certificate.
    #[serde(default)]
    hosts: Vec<String>,
    /// The chain, leaf first, PEM.
    chain_pem: String,
    /// The leaf's key, PEM.
    key_pem: String,
}

/// How to reach a registry that is not the cluster's own.
#[derive(JsonSchema)]
#[schemars(rename = "RegistryRequest")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct RegistryRequest {
    /// Its `host[:port]` as it stands in image references; the same as in the path.
    host: String,
    /// The user to log in as.
    username: Option<String>,
    /// The password or token.
    password: Option<String>,
    /// Certificates to trust beside the host's own, PEM.
    ca_pem: Option<String>,
    /// An HTTP proxy to go through, e.g. `http://proxy.example:3128`.
    proxy: Option<String>,
    /// Speak plain HTTP.
    #[serde(default)]
    plain_http: bool,
}

/// A registry that is not the cluster's own, without its password.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Registry {
    /// Its `host[:port]` as it stands in image references.
    host: String,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Certificates to trust beside the host's own, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    /// An HTTP proxy to go through, e.g. `http://proxy.example:3128`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    /// Speak plain HTTP.
    plain_http: bool,
}
