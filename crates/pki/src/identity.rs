//! A certificate chain with the private key that proves it. The key leaves this value only into
//! a file of mode 0600 or into `rustls`.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use crate::bundle::{CaBundle, Fingerprint, pem};
use crate::files::{self, FileError, PRIVATE_MODE, PUBLIC_MODE};
use crate::peer::{PeerError, PeerIdentity};
use crate::validity::Validity;

/// The most certificates in a chain: a leaf and the intermediates that public authorities use.
const MAX_CHAIN: usize = 10;

/// Why a certificate and a key are no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("load a certificate and its key")]
    File(#[from] FileError),
    /// The certificate text is damaged.
    #[error("parse the certificate chain as PEM")]
    CertificatePem(#[source] rustls_pki_types::pem::Error),
    /// The chain is empty or too long.
    #[error("accept a chain of {0} certificates: 1 to {MAX_CHAIN} are allowed")]
    ChainLength(usize),
    /// The first certificate is not one.
    #[error("parse the first certificate of the chain")]
    NotACertificate,
    /// The key text is damaged or holds no key. The cause is left out: it could quote the key.
    #[error("parse the private key as PEM")]
    KeyPem,
    /// The key is of a kind that is not supported, or belongs to another certificate.
    #[error("match the private key with its certificate")]
    KeyMismatch(#[source] rustls::Error),
}

/// A certificate chain, the holder's first, and its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    validity: Validity,
}

impl Identity {
    /// Joins a chain and a key after checking that they belong together.
    ///
    /// # Errors
    /// When the chain is empty, too long or unreadable, or the key does not fit.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return Err(IdentityError::ChainLength(chain.len()));
        }
        let validity = validity_of(&chain[0]).ok_or(IdentityError::NotACertificate)?;
        let identity = Self { chain, key, validity };
        identity.certified_key()?;
        Ok(identity)
    }

    /// Reads a PEM chain and a PEM key (PKCS#8, SEC1 or PKCS#1).
    ///
    /// # Errors
    /// As [`Identity::new`], and when a text is damaged.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .take(MAX_CHAIN + 1)
            .collect::<Result<Vec<_>, _>>()
            .map_err(IdentityError::CertificatePem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::KeyPem)?;
        Self::new(chain, key)
    }

    /// Reads both files; the key's must be private to its owner.
    ///
    /// # Errors
    /// As [`Identity::from_pem`], and when a file cannot be read or is too open.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        Self::from_pem(&files::read_public(certificate)?, &files::read_private(key)?)
    }

    /// Writes both files, the key's first and with mode 0600. Who stops between the two leaves a
    /// pair that [`Identity::load`] refuses, never one that is wrong and accepted.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), FileError> {
        files::write_atomic(key, self.key_pem().as_bytes(), PRIVATE_MODE)?;
        files::write_atomic(certificate, self.certificate_pem().as_bytes(), PUBLIC_MODE)
    }

    /// The chain as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The key as PEM; wiped when dropped.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        Zeroizing::new(pem(label, self.key.secret_der()))
    }

    /// The same with the authorities at the end of the chain, for servers that machines join which
    /// know the authority by its fingerprint only.
    ///
    /// # Errors
    /// When the chain gets too long.
    pub fn with_authorities(mut self, authorities: &CaBundle) -> Result<Self, IdentityError> {
        self.chain.truncate(1);
        self.chain.extend_from_slice(authorities.certificates());
        Self::new(self.chain, self.key)
    }

    /// The same with these certificates behind the holder's own.
    ///
    /// # Errors
    /// When the chain gets too long.
    pub fn followed_by(mut self, rest: &[CertificateDer<'static>]) -> Result<Self, IdentityError> {
        self.chain.truncate(1);
        self.chain.extend_from_slice(rest);
        Self::new(self.chain, self.key)
    }

    /// The chain in DER, the holder's certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// When the holder's certificate is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The DNS names in the certificate's subject alternative name (RFC 5280 §4.2.1.6), lower-case.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        let Ok((_, certificate)) = X509Certificate::from_der(&self.chain[0]) else {
            return Vec::new();
        };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let dns = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        dns.collect()
    }

    /// The IP addresses there.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let Ok((_, certificate)) = X509Certificate::from_der(&self.chain[0]) else {
            return Vec::new();
        };
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
        let addresses = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
            },
            _ => None,
        });
        addresses.collect()
    }

    /// Which member of a cluster the certificate names.
    ///
    /// # Errors
    /// When it names none, as certificates from outside do.
    pub fn peer(&self) -> Result<PeerIdentity, PeerError> {
        PeerIdentity::from_certificate(&self.chain[0])
    }

    /// The form in which `rustls` uses it.
    ///
    /// # Errors
    /// [`IdentityError::KeyMismatch`].
    pub fn certified_key(&self) -> Result<CertifiedKey, IdentityError> {
        let key = self.key.clone_key();
        CertifiedKey::from_der(self.chain.clone(), key, &ring::default_provider())
            .map_err(IdentityError::KeyMismatch)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &Fingerprint::of(&self.chain[0]))
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// The validity of one certificate in DER, when it is one.
pub(crate) fn validity_of(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Validity {
        not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
    })
}
