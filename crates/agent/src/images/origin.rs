//! Where images come from: the cluster's own registry or one outside, and how each is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::registry::Registry;
use pki::{CaBundle, SwappableAuthorities, SwappableIdentity, TlsError};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::watch;

use super::transport::Transport;
use crate::link::Servers;

/// Why a registry cannot be reached as it was described.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Its certificates are unusable.
    #[error("read the certificates of registry {host}")]
    Certificates {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: pki::BundleError,
    },
    /// TLS could not be set up.
    #[error("set TLS up for a registry")]
    Tls(#[from] TlsError),
    /// TLS could not be set up.
    #[error("set TLS up for a registry")]
    Provider(#[source] rustls::Error),
    /// The proxy is not `http://host:port`.
    #[error("read proxy {proxy:?} of registry {host}: expected http://HOST:PORT")]
    Proxy {
        /// The registry.
        host: String,
        /// What was given.
        proxy: String,
    },
}

/// One registry.
#[derive(Debug, Clone)]
pub struct Origin {
    /// `https://host:port` of each place that has the same content; the first that answers is used.
    pub(super) bases: Vec<String>,
    pub(super) transport: Transport,
    /// User and password.
    pub(super) credentials: Option<(String, String)>,
}

/// All registries.
#[derive(Debug)]
pub struct Origins {
    /// The servers, as they come and go.
    servers: watch::Receiver<Servers>,
    cluster: Transport,
    /// For registries that nothing is known of.
    public: Arc<ClientConfig>,
    named: BTreeMap<String, Origin>,
}

impl Origins {
    /// The cluster's own registry on its servers, with the agent's certificate.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(
        servers: watch::Receiver<Servers>,
        authorities: &Arc<SwappableAuthorities>,
        identity: Arc<SwappableIdentity>,
        clock: &clock::Clock,
    ) -> Result<Self, OriginError> {
        let alpn: &[&[u8]] = &[b"http/1.1"];
        let time = Some(Arc::new(clock.clone()) as _);
        let cluster = Transport {
            tls: Arc::new(authorities.client_tls(Some(identity), alpn, time)?),
            proxy: None,
        };
        Ok(Self { servers, cluster, public: public_tls(None)?, named: BTreeMap::new() })
    }

    /// These registries with what is known of them; others are forgotten.
    ///
    /// # Errors
    /// One is described wrongly; nothing changes then.
    pub fn with(&self, registries: &[Registry]) -> Result<Self, OriginError> {
        let mut named = BTreeMap::new();
        for registry in registries {
            named.insert(registry.host.clone(), self.named_origin(registry)?);
        }
        let (servers, cluster) = (self.servers.clone(), self.cluster.clone());
        Ok(Self { servers, cluster, public: self.public.clone(), named })
    }

    /// The origin of an image's registry; none is the cluster's.
    #[must_use]
    pub fn of(&self, registry: Option<&str>) -> Origin {
        let Some(host) = registry else { return self.own() };
        match self.named.get(host) {
            Some(origin) => origin.clone(),
            None => Origin {
                bases: vec![format!("https://{}", service_host(host))],
                transport: Transport { tls: self.public.clone(), proxy: None },
                credentials: None,
            },
        }
    }

    fn own(&self) -> Origin {
        let servers = self.servers.borrow().all();
        let bases = servers.iter().map(|server| format!("https://{server}")).collect();
        Origin { bases, transport: self.cluster.clone(), credentials: None }
    }

    fn named_origin(&self, registry: &Registry) -> Result<Origin, OriginError> {
        let host = registry.host.clone();
        let tls = match &registry.ca_pem {
            None => self.public.clone(),
            Some(pem) => {
                let extra = CaBundle::from_pem(pem.as_bytes());
                let extra = extra
                    .map_err(|source| OriginError::Certificates { host: host.clone(), source });
                public_tls(Some(&extra?))?
            }
        };
        let proxy = match &registry.proxy {
            None => None,
            Some(proxy) => {
                let address = proxy.strip_prefix("http://").unwrap_or("").trim_end_matches('/');
                let bad = || OriginError::Proxy { host: host.clone(), proxy: proxy.clone() };
                let (name, port) = address.rsplit_once(':').ok_or_else(bad)?;
                if name.is_empty() || port.parse::<u16>().is_err() {
                    return Err(bad());
                }
                Some(address.to_owned())
            }
        };
        let scheme = if registry.plain_http { "http" } else { "https" };
        let password = registry.password.as_ref().map(|p| p.0.clone()).unwrap_or_default();
        Ok(Origin {
            bases: vec![format!("{scheme}://{}", service_host(&host))],
            transport: Transport { tls, proxy },
            credentials: registry.username.clone().map(|user| (user, password)),
        })
    }
}

/// Docker's hub is named by one host in references and served by another.
fn service_host(host: &str) -> &str {
    if host == "docker.io" { "registry-1.docker.io" } else { host }
}

/// Trust in the host's own authorities and in `extra`.
fn public_tls(extra: Option<&CaBundle>) -> Result<Arc<ClientConfig>, OriginError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(extra) = extra {
        roots.add_parsable_certificates(extra.certificates().iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(OriginError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
