//! TLS for a joiner, which knows its cluster's authority only by fingerprint: the server must show
//! that authority in its chain and a certificate that it signed. Must not be used once the joiner
//! has the authority itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::bundle::{CaBundle, Fingerprint};
use crate::identity::validity_of;
use crate::tls::TlsError;

/// Why a server was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It belongs to another cluster, or somebody stands in between.
    #[error("trust the server: it shows {shown}, the token is of {wanted}")]
    OtherAuthority {
        /// The authority of the token.
        wanted: Fingerprint,
        /// What the server showed, for people.
        shown: String,
    },
    /// This machine's clock and the server's certificate do not go together.
    #[error("trust the server: it is {now} here, its certificate is valid {from} to {to}")]
    Clock {
        /// This machine's time.
        now: Timestamp,
        /// The certificate's first second.
        from: Timestamp,
        /// Its last.
        to: Timestamp,
    },
}

/// Believes servers of the one cluster whose authority has the fingerprint.
pub struct PinnedAuthority {
    wanted: Fingerprint,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<PinError>>,
}

impl PinnedAuthority {
    /// Only this authority's servers are believed.
    #[must_use]
    pub fn new(wanted: Fingerprint) -> Arc<Self> {
        let provider = Arc::new(ring::default_provider());
        Arc::new(Self { wanted, provider, refused: Mutex::new(None) })
    }

    /// Why the last server was not believed.
    #[must_use]
    pub fn refused(&self) -> Option<PinError> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The `rustls` configuration of a client without a certificate of its own; `None` is the
    /// system's clock.
    ///
    /// # Errors
    /// When the parameters are refused.
    pub fn tls(
        self: &Arc<Self>,
        alpn: &[&[u8]],
        time: Option<Arc<dyn TimeProvider>>,
    ) -> Result<ClientConfig, TlsError> {
        let time = time.unwrap_or_else(|| Arc::new(DefaultTimeProvider));
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), time)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Configuration)?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn refuse(&self, error: PinError) -> Error {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }

    /// The authority among what the server showed.
    fn authority(&self, chain: &[CertificateDer<'_>]) -> Result<CaBundle, PinError> {
        let shown: Vec<Fingerprint> = chain.iter().map(|one| Fingerprint::of(one)).collect();
        let found = shown.iter().position(|one| *one == self.wanted);
        let bundle = found.and_then(|at| CaBundle::new(vec![chain[at].clone().into_owned()]).ok());
        bundle.ok_or_else(|| PinError::OtherAuthority {
            wanted: self.wanted,
            shown: match shown.last() {
                Some(last) => last.to_string(),
                None => "no authority".to_owned(),
            },
        })
    }
}

impl fmt::Debug for PinnedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedAuthority").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = self.authority(intermediates).map_err(|error| self.refuse(error))?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(authority.roots(), self.provider.clone());
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        let time = i64::try_from(now.as_secs()).ok().and_then(|s| Timestamp::from_second(s).ok());
        match (validity_of(end_entity), time) {
            (Some(validity), Some(time)) if !validity.contains(time) => {
                let (from, to) = (validity.not_before, validity.not_after);
                Err(self.refuse(PinError::Clock { now: time, from, to }))
            }
            // While authorities are exchanged, what the wanted one says of the next is in between.
            _ => verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now),
        }
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
