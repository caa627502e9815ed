//! `rustls` configurations for both ends: one provider (ring), TLS 1.2 and 1.3, the cluster's
//! authority pinned. Must not fall back to the system's trust store.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use crate::bundle::CaBundle;
use crate::identity::{Identity, IdentityError};

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The identity is unusable.
    #[error("use an identity for TLS")]
    Identity(#[from] IdentityError),
    /// The verifier of client certificates refused the authorities.
    #[error("verify client certificates with the given authorities")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// `rustls` refused the parameters.
    #[error("configure TLS")]
    Configuration(#[source] rustls::Error),
}

/// Makes ring the process-wide provider; call it first in every `main` and test. Calling it again
/// changes nothing.
pub fn install_provider() {
    // An error says that one is installed already, which is this one: the tree has no other.
    drop(ring::default_provider().install_default());
}

/// An identity that can be exchanged while connections are made with it: new handshakes use the
/// new one, established connections go on.
pub struct SwappableIdentity(RwLock<Arc<CertifiedKey>>);

impl SwappableIdentity {
    /// Starts with `identity`.
    ///
    /// # Errors
    /// When its key does not fit.
    pub fn new(identity: &Identity) -> Result<Arc<Self>, IdentityError> {
        Ok(Arc::new(Self(RwLock::new(Arc::new(identity.certified_key()?)))))
    }

    /// From now on handshakes use `identity`.
    ///
    /// # Errors
    /// When its key does not fit; then the old one stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), IdentityError> {
        let key = Arc::new(identity.certified_key()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for SwappableIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwappableIdentity")
    }
}

impl ResolvesServerCert for SwappableIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for SwappableIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What a server asks of its clients' certificates.
#[derive(Debug, Clone, Copy)]
pub enum ClientAuth<'a> {
    /// Nothing: clients stay anonymous to TLS.
    None,
    /// A client may show one; if it does, it must be the authority's.
    Optional(&'a CaBundle),
    /// A client must show one of the authority's.
    Required(&'a CaBundle),
}

/// The server's end.
#[derive(Debug, Clone)]
pub struct ServerTls<'a> {
    /// What the server shows.
    pub identity: Arc<SwappableIdentity>,
    /// What it asks of clients.
    pub clients: ClientAuth<'a>,
    /// Application protocols, the preferred first, e.g. `[b"h2", b"http/1.1"]`.
    pub alpn: &'a [&'a [u8]],
    /// The clock for certificates' validity; `None` is the system's.
    pub time: Option<Arc<dyn TimeProvider>>,
}

/// The client's end.
#[derive(Debug, Clone)]
pub struct ClientTls<'a> {
    /// The only authorities whose servers are accepted.
    pub authorities: &'a CaBundle,
    /// What the client shows when it is asked.
    pub identity: Option<Arc<SwappableIdentity>>,
    /// Application protocols, the preferred first.
    pub alpn: &'a [&'a [u8]],
    /// The clock for certificates' validity; `None` is the system's.
    pub time: Option<Arc<dyn TimeProvider>>,
}

/// The `rustls` configuration of a server.
///
/// # Errors
/// When the authorities are refused.
pub fn server_tls(options: &ServerTls<'_>) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = match options.clients {
        ClientAuth::None => None,
        ClientAuth::Optional(bundle) => Some((bundle, true)),
        ClientAuth::Required(bundle) => Some((bundle, false)),
    };
    let verifier = match verifier {
        None => WebPkiClientVerifier::no_client_auth(),
        Some((bundle, anonymous)) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(bundle.roots(), provider.clone());
            let builder = if anonymous { builder.allow_unauthenticated() } else { builder };
            builder.build().map_err(TlsError::Verifier)?
        }
    };
    let mut config = ServerConfig::builder_with_details(provider, clock(&options.time))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configuration)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(options.identity.clone());
    config.alpn_protocols = options.alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The `rustls` configuration of a client.
///
/// # Errors
/// When the parameters are refused.
pub fn client_tls(options: &ClientTls<'_>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_details(provider(), clock(&options.time))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configuration)?
        .with_root_certificates(options.authorities.roots());
    let mut config = match &options.identity {
        Some(identity) => builder.with_client_cert_resolver(identity.clone()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = options.alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn clock(given: &Option<Arc<dyn TimeProvider>>) -> Arc<dyn TimeProvider> {
    given.clone().unwrap_or_else(|| Arc::new(DefaultTimeProvider))
}
