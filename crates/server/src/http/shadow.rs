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

/// The answer to `POST /v1/join-tokens`: the only time the token itself is shown.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct JoinTokenAnswer {
    /// What is kept of it.
    token: api::join::JoinToken,
    /// The token itself, with the fingerprint of the cluster's authority.
    secret: String,
}

/// `POST /v1/join/host`: a machine wants to become a host.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct HostJoinRequest {
    /// The secret part of the join token, `fh_ID_SECRET`.
    token: String,
    /// What it wants to be called.
    name: api::id::HostId,
    /// A signing request for its key, PEM. Every name in it is ignored.
    request_pem: String,
    /// Where other hosts reach it.
    address: std::net::Ipv4Addr,
    /// The failure domain it stands in.
    #[serde(default)]
    domain: api::host::DomainPath,
    /// Labels.
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    /// Whether it knows that it takes the place of a host with this name.
    #[serde(default)]
    replace: bool,
    /// Its clock.
    time: api::time::Timestamp,
}

/// `POST /v1/join/server`: a machine wants to become a server.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ServerJoinRequest {
    /// The secret part of the join token, `fh_ID_SECRET`.
    token: String,
    /// What it wants to be called.
    name: api::id::ServerId,
    /// A signing request for its key, PEM.
    request_pem: String,
    /// The DNS names by which it will be reached.
    #[serde(default)]
    dns_names: Vec<String>,
    /// The addresses by which it will be reached.
    #[serde(default)]
    addresses: Vec<std::net::IpAddr>,
    /// Whether it knows that it takes the place of a server with this name.
    #[serde(default)]
    replace: bool,
    /// Its clock.
    time: api::time::Timestamp,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use api::protocol::SecretValue;
    use api::time::Timestamp;
    use api::token::{Role, Token};
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    /// The fields of a value with everything in it are the fields of the schema.
    fn check<S: JsonSchema>(full: &impl Serialize) {
        let value = serde_json::to_value(full).unwrap();
        let schema = Value::from(schemars::SchemaGenerator::default().into_root_schema_for::<S>());
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&value), names(&schema["properties"]));
    }

    #[test]
    fn shadows_have_the_fields_of_what_they_stand_for() {
        let secret = || SecretValue("x".into());
        check::<SecretRequest>(&api::operation::SecretRequest { value: secret() });
        let token = Token {
            id: "x".into(),
            name: "x".into(),
            role: Role::Viewer,
            team: None,
            created: Timestamp(0),
            expires: None,
        };
        check::<TokenAnswer>(&api::operation::TokenAnswer { token, secret: secret() });
        check::<CertificateRequest>(&api::operation::CertificateRequest {
            hosts: vec![],
            chain_pem: "x".into(),
            key_pem: secret(),
        });
        check::<JoinTokenAnswer>(&api::join::JoinTokenAnswer {
            token: api::join::JoinToken {
                id: "x".into(),
                role: api::join::JoinRole::Host,
                replaces: None,
                created: Timestamp(0),
                expires: Timestamp(0),
                used: None,
            },
            secret: secret(),
        });
        check::<HostJoinRequest>(&api::join::HostJoinRequest {
            token: secret(),
            name: "x".parse().unwrap(),
            request_pem: "x".into(),
            address: std::net::Ipv4Addr::LOCALHOST,
            domain: api::host::DomainPath::default(),
            labels: std::collections::BTreeMap::new(),
            replace: false,
            time: Timestamp(0),
        });
        check::<ServerJoinRequest>(&api::join::ServerJoinRequest {
            token: secret(),
            name: "x".parse().unwrap(),
            request_pem: "x".into(),
            dns_names: vec![],
            addresses: vec![],
            replace: false,
            time: Timestamp(0),
        });
        let mut registry = api::registry::Registry {
            host: "x".into(),
            username: Some("x".into()),
            password: Some(secret()),
            ca_pem: Some("x".into()),
            proxy: Some("x".into()),
            plain_http: true,
        };
        check::<RegistryRequest>(&registry);
        registry.password = None;
        check::<Registry>(&registry);
    }
}
