//! Authorities that can be exchanged while connections are made: the verifier of both ends of a
//! handshake asks for those of this moment. Sessions are not resumed here, since a resumed session
//! is not verified again and would outlive an authority that was dropped.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::bundle::CaBundle;
use crate::tls::{SwappableIdentity, TlsError};

/// The authorities that are trusted now.
pub struct SwappableAuthorities {
    current: RwLock<Arc<Current>>,
    /// The names told to clients; authorities of one cluster have the same.
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

struct Current {
    bundle: CaBundle,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Current {
    fn new(bundle: &CaBundle, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let servers =
            WebPkiServerVerifier::builder_with_provider(bundle.roots(), provider.clone()).build();
        let clients = WebPkiClientVerifier::builder_with_provider(bundle.roots(), provider.clone())
            .allow_unauthenticated()
            .build();
        Ok(Self {
            bundle: bundle.clone(),
            servers: servers.map_err(TlsError::Verifier)?,
            clients: clients.map_err(TlsError::Verifier)?,
        })
    }
}

impl SwappableAuthorities {
    /// Starts with these.
    ///
    /// # Errors
    /// When the authorities are refused.
    pub fn new(bundle: &CaBundle) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = Current::new(bundle, &provider)?;
        let hints = current.clients.root_hint_subjects().to_vec();
        Ok(Arc::new(Self { current: RwLock::new(Arc::new(current)), hints, provider }))
    }

    /// From now on handshakes trust these alone; established connections go on.
    ///
    /// # Errors
    /// When the authorities are refused; then the old ones stay.
    pub fn replace(&self, bundle: &CaBundle) -> Result<(), TlsError> {
        let next = Arc::new(Current::new(bundle, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Those of this moment.
    #[must_use]
    pub fn bundle(&self) -> CaBundle {
        self.current().bundle.clone()
    }

    /// The `rustls` configuration of a client that trusts them; `None` is the system's clock.
    ///
    /// # Errors
    /// When the parameters are refused.
    pub fn client_tls(
        self: &Arc<Self>,
        identity: Option<Arc<SwappableIdentity>>,
        alpn: &[&[u8]],
        time: Option<Arc<dyn TimeProvider>>,
    ) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_details(self.provider.clone(), clock(time))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Configuration)?
            .dangerous()
            .with_custom_certificate_verifier(self.clone());
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(identity),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The `rustls` configuration of a server whose clients may show a certificate of theirs;
    /// `None` is the system's clock.
    ///
    /// # Errors
    /// When the parameters are refused.
    pub fn server_tls(
        self: &Arc<Self>,
        identity: Arc<SwappableIdentity>,
        alpn: &[&[u8]],
        time: Option<Arc<dyn TimeProvider>>,
    ) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), clock(time))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Configuration)?
            .with_client_cert_verifier(self.clone())
            .with_cert_resolver(identity);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn clock(given: Option<Arc<dyn TimeProvider>>) -> Arc<dyn TimeProvider> {
    given.unwrap_or_else(|| Arc::new(DefaultTimeProvider))
}

impl fmt::Debug for SwappableAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SwappableAuthorities").field(&self.current().bundle).finish()
    }
}

impl ServerCertVerifier for SwappableAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.current().servers.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for SwappableAuthorities {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.current().clients.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
