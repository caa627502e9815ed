//! Whether a certificate was once given to a member of the cluster. Expiry is left to the caller: a
//! machine that was off for a month proves by it who it is when it asks for the next one.

use std::time::Duration;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::bundle::{CaBundle, Fingerprint};
use crate::identity::validity_of;
use crate::key::key_of;
use crate::peer::{PeerError, PeerIdentity};
use crate::validity::Validity;

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MemberError {
    /// It is none.
    #[error("read a member's certificate")]
    NotACertificate,
    /// It was signed by somebody else, or changed since.
    #[error("believe a member's certificate: the cluster's authorities did not sign it")]
    NotOurs(#[source] rustls::Error),
    /// It names no member.
    #[error("find a member in a certificate")]
    NoMember(#[from] PeerError),
}

/// What a certificate of the cluster's authority says, whether or not its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who it names.
    pub peer: PeerIdentity,
    /// The fingerprint of its public key.
    pub key: Fingerprint,
    /// When it is valid.
    pub validity: Validity,
}

impl CaBundle {
    /// What the first certificate of a PEM text says, if one of these authorities signed it.
    ///
    /// # Errors
    /// When it is not a certificate, not one of ours, or names nobody.
    pub fn member(&self, certificate_pem: &str) -> Result<Member, MemberError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| MemberError::NotACertificate)?;
        let validity = validity_of(&certificate).ok_or(MemberError::NotACertificate)?;
        let key = key_of(&certificate).ok_or(MemberError::NotACertificate)?;
        let provider = std::sync::Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider)
            .build()
            .map_err(|error| MemberError::NotOurs(rustls::Error::General(error.to_string())))?;
        // At its own last second it is valid, if it ever was.
        let end = u64::try_from(validity.not_after.as_second()).unwrap_or(0);
        let then = UnixTime::since_unix_epoch(Duration::from_secs(end));
        verifier.verify_client_cert(&certificate, &[], then).map_err(MemberError::NotOurs)?;
        let peer = PeerIdentity::from_certificate(&certificate)?;
        Ok(Member { peer, key, validity })
    }

    /// Which of these authorities signed the first certificate of a PEM text, whether or not its
    /// time is over.
    #[must_use]
    pub fn signer_of(&self, certificate_pem: &str) -> Option<Fingerprint> {
        let signed = |one: &&CertificateDer<'static>| {
            let alone = CaBundle::new(vec![(*one).clone()]);
            alone.is_ok_and(|alone| alone.member(certificate_pem).is_ok())
        };
        self.certificates().iter().find(signed).map(|one| Fingerprint::of(one))
    }
}
