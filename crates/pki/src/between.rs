//! Connections between hosts: both ends show a host's certificate. Such a certificate names no
//! address and is none of a server, so the dialling end checks instead that the other is the very
//! host that it means.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::peer::PeerIdentity;
use crate::tls::{SwappableIdentity, TlsError};
use crate::trusting::SwappableAuthorities;

/// The other end is a member of the cluster, but not the one that was meant.
#[derive(Debug, thiserror::Error)]
#[error("connect to {expected}: its certificate is another's")]
struct Stranger {
    expected: PeerIdentity,
}

/// Accepts one member of the cluster.
struct OneMember {
    authorities: Arc<SwappableAuthorities>,
    expected: PeerIdentity,
}

/// The `rustls` configuration for connections to one member of the cluster that shows the
/// certificate it has as a client; `None` is the system's clock.
///
/// # Errors
/// When the parameters are refused.
pub fn member_tls(
    authorities: &Arc<SwappableAuthorities>,
    identity: Arc<SwappableIdentity>,
    expected: PeerIdentity,
    alpn: &[&[u8]],
    time: Option<Arc<dyn TimeProvider>>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let time = time.unwrap_or_else(|| Arc::new(DefaultTimeProvider));
    let verifier = OneMember { authorities: authorities.clone(), expected };
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configuration)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(identity);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
}

impl fmt::Debug for OneMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneMember").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for OneMember {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.authorities.verify_client_cert(end_entity, intermediates, now)?;
        match PeerIdentity::from_certificate(end_entity) {
            Ok(peer) if peer == self.expected => Ok(ServerCertVerified::assertion()),
            _ => {
                let stranger = Stranger { expected: self.expected.clone() };
                Err(CertificateError::Other(OtherError(Arc::new(stranger))).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(&*self.authorities, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(&*self.authorities, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(&*self.authorities)
    }
}
