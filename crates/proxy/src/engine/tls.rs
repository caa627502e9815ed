//! Certificates by server name, swapped while connections go on.

use std::collections::HashMap;
use std::sync::Arc;

use api::ingress::Certificate;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a table's certificate is refused. Never says anything of the key itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("reading the certificate chain for {hosts}")]
    Chain {
        hosts: String,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("the certificate chain for {hosts} is empty")]
    Empty { hosts: String },
    #[error("reading the private key for {hosts}")]
    Key {
        hosts: String,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("matching the private key with the certificate for {hosts}")]
    Pair {
        hosts: String,
        #[source]
        source: rustls::Error,
    },
    #[error("configuring TLS")]
    Config(#[source] rustls::Error),
}

/// An immutable set of certificates.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    any: Option<Arc<CertifiedKey>>,
    /// What each was made of, to make only changed ones anew.
    made: Vec<(Certificate, Arc<CertifiedKey>)>,
}

impl Certificates {
    /// Reads and checks all; what `before` has is taken from there.
    pub(crate) fn read(certificates: &[Certificate], before: &Self) -> Result<Self, TlsError> {
        let mut known: HashMap<&str, &(Certificate, Arc<CertifiedKey>)> = HashMap::new();
        for made in &before.made {
            known.insert(&made.0.cert_chain_pem, made);
        }
        let provider = rustls::crypto::ring::default_provider();
        let mut all = Self::default();
        for certificate in certificates {
            let held = known.get(certificate.cert_chain_pem.as_str());
            let key = match held.filter(|held| held.0.key_pem == certificate.key_pem) {
                Some(held) => Arc::clone(&held.1),
                None => Arc::new(certified(certificate, &provider)?),
            };
            for host in &certificate.hosts {
                let key = Arc::clone(&key);
                if host == "*" {
                    all.any.get_or_insert(key);
                } else if let Some(parent) = host.strip_prefix("*.") {
                    all.wildcard.entry(parent.into()).or_insert(key);
                } else {
                    all.exact.entry(host.clone()).or_insert(key);
                }
            }
            all.made.push((certificate.clone(), key));
        }
        Ok(all)
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(&name).or_else(parent)
        });
        named.or(self.any.as_ref()).cloned()
    }
}

fn certified(
    certificate: &Certificate,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let hosts = || certificate.hosts.join(", ");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.cert_chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Chain { hosts: hosts(), source })?;
    if chain.is_empty() {
        return Err(TlsError::Empty { hosts: hosts() });
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|source| TlsError::Key { hosts: hosts(), source })?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| TlsError::Pair { hosts: hosts(), source })
}

/// The certificates in force.
#[derive(Debug, Default)]
pub(crate) struct CertStore {
    pub(crate) current: ArcSwap<Certificates>,
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().find(hello.server_name())
    }
}

/// The TLS configuration of all https listeners: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
pub(crate) fn config(store: &Arc<CertStore>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(store) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Config)?;
    Ok(Arc::new(config))
}
