//! The ingress table: everything a proxy needs to route traffic, pushed whole with a generation.
//!
//! These are values as they travel from server to agent to proxy. The rules a table must follow
//! (unique names, known backends, readable certificates) are checked by the proxy before it takes
//! a table; this module only describes the shape. Private keys never appear in `Debug` output.

use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, EnvironmentName, Generation, InstanceId, ReleaseNumber};

/// Everything one proxy serves. Tables are swapped whole: an older generation is refused, the same
/// generation with other content is refused, a replay is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressTable {
    /// Grows with every change.
    pub generation: Generation,
    /// HTTP routes, in any order; the most specific one wins (see [`Route`]).
    #[serde(default)]
    pub routes: Vec<Route>,
    /// TCP routes, in any order.
    #[serde(default)]
    pub tcp: Vec<TcpRoute>,
    /// The endpoint groups that routes name.
    #[serde(default)]
    pub backends: Vec<Backend>,
    /// Certificates for TLS, chosen by server name: an exact name beats a wildcard, which beats
    /// `*`.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Peers whose `Forwarded` and `X-Forwarded-*` headers are believed and extended. Those of
    /// everybody else are removed.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// The port that redirects to https name; `None` = 443, which is left out of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
}

/// A public name and path prefix served by one or more backends.
///
/// Of the routes whose host fits, the most specific host that has a fitting path wins: an exact
/// host, then the longest wildcard, then `*`; inside a host the longest path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Unique in the table; metrics and answers about errors name it.
    pub name: String,
    /// Lower-case host without port: `shop.example.com`, `*.example.com` (any number of labels in
    /// front, not the bare domain) or `*`.
    pub host: String,
    /// Prefix that the path must start with at a segment's border: `/api` fits `/api` and `/api/x`,
    /// not `/apix`. `/` fits every path.
    #[serde(default = "root")]
    pub path: String,
    /// The app, for logs and metrics.
    pub app: AppName,
    /// The environment, for logs and metrics.
    pub environment: EnvironmentName,
    /// Where requests go; several share them by weight (a canary). Without endpoints the answer is
    /// 503.
    pub backends: Vec<BackendRef>,
    /// What the instances speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// Answer plain http with a permanent redirect to https.
    #[serde(default)]
    pub redirect_to_https: bool,
    /// How long the instance may take until its response head, in milliseconds; then 504.
    #[serde(default = "response_timeout_ms")]
    pub response_timeout_ms: u64,
    /// How long a request or response body may stand still, in milliseconds.
    #[serde(default = "idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// The largest request body in bytes; beyond it 413. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
}

fn root() -> String {
    "/".into()
}

fn response_timeout_ms() -> u64 {
    60_000
}

fn idle_timeout_ms() -> u64 {
    60_000
}

fn tcp_idle_timeout_ms() -> u64 {
    3_600_000
}

/// What an instance speaks on its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, including upgrades such as WebSocket.
    #[default]
    Http1,
    /// HTTP/2 in clear text with prior knowledge (RFC 9113 §3.3), as gRPC servers speak it.
    H2c,
}

/// A share of a route's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef {
    /// The [`Backend`]'s name.
    pub backend: String,
    /// Its share relative to the others'; 0 = none unless all are 0 or have no endpoints.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// A group of endpoints that routes name, usually one release of an app in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Unique in the table.
    pub name: String,
    /// Those in service, in any order.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// One instance in service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The instance, for logs and metrics.
    pub instance: InstanceId,
    /// Its release, for logs and metrics.
    pub release: ReleaseNumber,
    /// Where it listens.
    pub address: SocketAddr,
    /// How much it takes relative to the others of its backend; 0 counts as 1.
    #[serde(default = "one")]
    pub weight: u32,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The server names it is shown for: exact, `*.example.com` (one label, RFC 9525 §6.3), or `*`
    /// for clients whose name fits nothing else or who send none.
    pub hosts: Vec<String>,
    /// The chain, leaf first, as PEM.
    pub cert_chain_pem: String,
    /// The leaf's private key, as PEM (PKCS#8, PKCS#1 or SEC1).
    pub key_pem: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("hosts", &self.hosts)
            .field("cert_chain_pem", &format_args!("{} bytes", self.cert_chain_pem.len()))
            .field("key_pem", &"(hidden)")
            .finish()
    }
}

/// A TCP port, or server names on a TLS port, passed on to instances without looking inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    /// Unique in the table, also among HTTP routes.
    pub name: String,
    /// Which connections it takes.
    pub listen: TcpListen,
    /// Server names (exact or `*.example.com`, as in [`Route::host`]) read from the client's TLS
    /// hello, which is passed on untouched. Empty: every connection of the port.
    #[serde(default)]
    pub sni: Vec<String>,
    /// The app, for logs and metrics.
    pub app: AppName,
    /// The environment, for logs and metrics.
    pub environment: EnvironmentName,
    /// Where connections go; several share them by weight.
    pub backends: Vec<BackendRef>,
    /// Tell the instance the client's address by a PROXY protocol version 2 header.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// How long both directions may be silent, in milliseconds.
    #[serde(default = "tcp_idle_timeout_ms")]
    pub idle_timeout_ms: u64,
}

/// The listeners of a [`TcpRoute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcpListen {
    /// A TCP port of its own.
    Port(u16),
    /// The https port: connections whose server name is listed bypass TLS termination.
    Https,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_table_reads_with_its_defaults_and_ignores_what_it_does_not_know() {
        let table: IngressTable = serde_json::from_str(
            r#"{"generation": 3, "later": true, "routes": [{"name": "r", "host": "*", "app": "a",
                "environment": "e", "backends": [{"backend": "b", "more": 1}]}]}"#,
        )
        .unwrap();
        assert_eq!(table.generation, Generation(3));
        let route = &table.routes[0];
        assert_eq!((route.path.as_str(), route.protocol), ("/", Protocol::Http1));
        assert_eq!((route.response_timeout_ms, route.max_body_bytes), (60_000, None));
        assert_eq!(route.backends[0].weight, 1);
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let certificate = Certificate {
            hosts: vec!["a".into()],
            cert_chain_pem: "CHAIN".into(),
            key_pem: "SECRET".into(),
        };
        let table = IngressTable { certificates: vec![certificate], ..IngressTable::default() };
        let text = format!("{table:?}");
        assert!(!text.contains("SECRET") && text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_table_survives_the_wire() {
        let listen = [TcpListen::Port(5432), TcpListen::Https];
        let text = serde_json::to_string(&listen).unwrap();
        assert_eq!(text, r#"[{"port":5432},"https"]"#);
        assert_eq!(serde_json::from_str::<[TcpListen; 2]>(&text).unwrap(), listen);
    }
}
