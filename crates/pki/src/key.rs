//! The key of a host or server before, and between, its certificates, and the request by which it
//! asks for one. The key leaves this value only into a file of mode 0600 or an [`Identity`].

use std::fmt;
use std::path::Path;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair, PublicKey,
    PublicKeyData,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::bundle::Fingerprint;
use crate::ca::CaError;
use crate::files::{self, PRIVATE_MODE};
use crate::identity::Identity;

/// A private key (ECDSA on P-256).
pub struct HostKey(KeyPair);

impl HostKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`CaError::Sign`] when the cryptography refuses.
    pub fn generate() -> Result<Self, CaError> {
        KeyPair::generate().map(Self).map_err(CaError::Sign)
    }

    /// Reads a key from `path`.
    ///
    /// # Errors
    /// When the file is unreadable, open to others, or holds no key.
    pub fn load(path: &Path) -> Result<Self, CaError> {
        let bytes = files::read_private(path)?;
        let text = std::str::from_utf8(&bytes).ok();
        let key = text.and_then(|text| KeyPair::from_pem(text).ok());
        key.map(Self).ok_or_else(|| CaError::KeyFile(path.to_owned()))
    }

    /// Reads the key in `path`, or makes one and saves it there with mode 0600: who asks for a
    /// certificate and never hears the answer asks again with the same key.
    ///
    /// # Errors
    /// As [`HostKey::load`], and when the file cannot be written; a damaged one is not replaced.
    pub fn load_or_create(path: &Path) -> Result<Self, CaError> {
        match Self::load(path) {
            Err(CaError::File(e)) if e.is_not_found() => {
                let key = Self::generate()?;
                let text = Zeroizing::new(key.0.serialize_pem());
                files::write_atomic(path, text.as_bytes(), PRIVATE_MODE)?;
                Ok(key)
            }
            other => other,
        }
    }

    /// A signing request that proves possession of the key and asks for no name.
    ///
    /// # Errors
    /// [`CaError::Sign`].
    pub fn request_pem(&self) -> Result<String, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(CaError::Sign)?;
        request.pem().map_err(CaError::Sign)
    }

    /// Joins the key with the certificate that was signed for it, as PEM.
    ///
    /// # Errors
    /// [`CaError::Signed`] when it is no certificate, or for another key.
    pub fn with_certificate(self, certificate_pem: &str) -> Result<Identity, CaError> {
        let key = Zeroizing::new(self.0.serialize_pem());
        Ok(Identity::from_pem(certificate_pem.as_bytes(), key.as_bytes())?)
    }

    pub(crate) fn into_identity(
        self,
        certificate: CertificateDer<'static>,
    ) -> Result<Identity, CaError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()));
        Ok(Identity::new(vec![certificate], key)?)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey")
    }
}

/// A request for a certificate whose signature was found to be its own key's.
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads a request and checks that whoever made it holds the key. Every name in it is ignored.
    ///
    /// # Errors
    /// [`CaError::Request`] when it is damaged or its signature is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, CaError> {
        CertificateSigningRequestParams::from_pem(pem).map(Self).map_err(CaError::Request)
    }

    /// The fingerprint of its public key.
    #[must_use]
    pub fn key(&self) -> Fingerprint {
        Fingerprint::of(&self.0.public_key.subject_public_key_info())
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }
}

impl fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningRequest").field(&self.key()).finish()
    }
}

/// The fingerprint of the public key in a certificate in DER, when it is one.
#[must_use]
pub fn key_of(certificate: &[u8]) -> Option<Fingerprint> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(Fingerprint::of(certificate.public_key().raw))
}
