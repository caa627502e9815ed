//! What a peer trusts: one or more authorities' certificates, and the fingerprint by which a
//! newcomer recognises them. Holds no private key.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::files::{self, FileError, PUBLIC_MODE};

/// The most authorities a bundle may hold: the old and the new one while they are exchanged, with
/// room for a forgotten few.
const MAX_AUTHORITIES: usize = 16;

/// Why bytes are no bundle of authorities.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file could not be read or written.
    #[error("load the authorities' certificates")]
    File(#[from] FileError),
    /// A PEM section is damaged.
    #[error("parse the authorities' certificates as PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// There is none, or there are too many.
    #[error("accept {0} authorities: 1 to {MAX_AUTHORITIES} are allowed")]
    Count(usize),
    /// A certificate is not one of an authority.
    #[error("accept certificate {0} of the bundle: it is not an authority's")]
    NotAnAuthority(usize),
}

/// The certificates of the authorities a peer trusts; at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle {
    certificates: Vec<CertificateDer<'static>>,
    roots: SharedRoots,
}

/// The same certificates in the form `rustls` wants; made once.
#[derive(Clone)]
struct SharedRoots(Arc<RootCertStore>);

impl PartialEq for SharedRoots {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

impl Eq for SharedRoots {}

impl CaBundle {
    /// A bundle of these certificates.
    ///
    /// # Errors
    /// When there is none, there are more than 16, or one is not an authority's certificate.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, BundleError> {
        if certificates.is_empty() || certificates.len() > MAX_AUTHORITIES {
            return Err(BundleError::Count(certificates.len()));
        }
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let not_an_authority = || BundleError::NotAnAuthority(index + 1);
            let (_, parsed) =
                X509Certificate::from_der(certificate).map_err(|_| not_an_authority())?;
            if !parsed.is_ca() {
                return Err(not_an_authority());
            }
            roots.add(certificate.clone()).map_err(|_| not_an_authority())?;
        }
        Ok(Self { certificates, roots: SharedRoots(Arc::new(roots)) })
    }

    /// Reads the certificates of a PEM text; other sections are skipped.
    ///
    /// # Errors
    /// As [`CaBundle::new`], and when a section is damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .take(MAX_AUTHORITIES + 1)
            .collect::<Result<Vec<_>, _>>()
            .map_err(BundleError::Pem)?;
        Self::new(certificates)
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// As [`CaBundle::from_pem`], and when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        Self::from_pem(&files::read_public(path)?)
    }

    /// Writes a PEM file that anybody may read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        files::write_atomic(path, self.to_pem().as_bytes(), PUBLIC_MODE)
    }

    /// The certificates as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The certificates, the newest authority's first.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The fingerprint of the first, that is the signing authority's certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificates[0])
    }

    /// The fingerprints of all, in their order.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(|one| Fingerprint::of(one)).collect()
    }

    /// The same without one; none when nothing would be left.
    #[must_use]
    pub fn without(&self, dropped: Fingerprint) -> Option<Self> {
        let rest = self.certificates.iter().filter(|one| Fingerprint::of(one) != dropped);
        Self::new(rest.cloned().collect()).ok()
    }

    /// These, those of `other` that are new among them at the end.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn followed_by(&self, other: &Self) -> Result<Self, BundleError> {
        let mut all = self.certificates.clone();
        all.extend(
            other.certificates.iter().filter(|one| !self.certificates.contains(one)).cloned(),
        );
        Self::new(all)
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots.0)
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.certificates.iter().map(|c| Fingerprint::of(c))).finish()
    }
}

/// One PEM section (RFC 7468) with lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(BASE64.encode(der));
    // Sized first: a string that grows leaves copies of a key behind. A line break per 64
    // characters, and twice 16 characters of frame with its label.
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 2 * (label.len() + 20));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// SHA-256 of a certificate's DER, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Its 64 hex digits alone.
    pub(crate) fn hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// The fingerprint with these 64 lower-case hex digits.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse fingerprint {0:?}: not sha256: and 64 hex digits")]
pub struct ParseFingerprintError(String);

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        text.strip_prefix("sha256:")
            .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ParseFingerprintError(text.to_owned()))
    }
}
