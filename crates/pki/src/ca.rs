//! The cluster's certificate authority: makes itself once, then signs what servers and hosts need.
//! Decides nothing about who may have a certificate; its caller has checked that.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::bundle::{self, BundleError, CaBundle};
use crate::files::{self, FileError, PRIVATE_MODE};
use crate::identity::{Identity, IdentityError};
use crate::key::{HostKey, SigningRequest};
use crate::peer::{PeerError, PeerIdentity, PeerRole, check_name};
use crate::random;
use crate::validity::{CA_LIFETIME, LEAF_LIFETIME, Validity};

/// File of the authority's certificate in its directory; public.
const CERTIFICATE_FILE: &str = "ca.pem";

/// File of the authority's key in its directory; mode 0600.
const KEY_FILE: &str = "ca.key";

/// What ends a key in its file.
const KEY_END: &str = "-----END PRIVATE KEY-----\n";

/// The most names and addresses in one server certificate: a machine has few, a VIP adds some.
const MAX_NAMES: usize = 100;

/// Why the authority could not be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file could not be read or written.
    #[error("keep the certificate authority's files")]
    File(#[from] FileError),
    /// The certificate is there and its key is not: nothing may be made up in its place.
    #[error("load the certificate authority: {0} is there, its key is not")]
    KeyMissing(std::path::PathBuf),
    /// The certificate file is not an authority's.
    #[error("load the certificate authority")]
    Certificate(#[from] BundleError),
    /// The key file holds no key, or another certificate's. No cause: it could quote the key.
    #[error("load the certificate authority: its key does not fit its certificate")]
    Key,
    /// The files belong to another cluster's authority.
    #[error("load the certificate authority: it is cluster {found:?}'s, not {wanted:?}'s")]
    OtherCluster {
        /// The cluster asked for.
        wanted: String,
        /// The cluster in the certificate.
        found: String,
    },
    /// A name is malformed.
    #[error("name the subject of a certificate")]
    Name(#[from] PeerError),
    /// A server's DNS name cannot stand in a certificate.
    #[error("put name {0:?} into a certificate")]
    DnsName(String),
    /// More names and addresses than any server has.
    #[error("put {0} names into a certificate: at most {MAX_NAMES} are allowed")]
    TooManyNames(usize),
    /// A request to sign is damaged or not signed by its own key.
    #[error("accept a certificate signing request")]
    Request(#[source] rcgen::Error),
    /// A key file holds none. No cause: it could quote the key.
    #[error("read the private key in {0}")]
    KeyFile(std::path::PathBuf),
    /// The time is outside what certificates can say.
    #[error("issue a certificate at {0}")]
    Time(Timestamp),
    /// Making a key or a signature failed.
    #[error("sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// What was signed is not usable; never seen, checked all the same.
    #[error("use the certificate just signed")]
    Signed(#[from] IdentityError),
}

/// The DNS names and addresses a server answers on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names; a leading `*.` covers one label.
    pub dns: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

/// The authority of one cluster with its signing key.
pub struct CertificateAuthority {
    cluster: String,
    bundle: CaBundle,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// Makes a new authority for `cluster`, valid for ten years from `now`.
    ///
    /// # Errors
    /// [`CaError::Name`] for the cluster's name, [`CaError::Time`].
    pub fn create(cluster: &str, now: Timestamp) -> Result<Self, CaError> {
        check_name(cluster)?;
        let key = KeyPair::generate().map_err(CaError::Sign)?;
        let mut params =
            params_for(Validity::issued_at(now, CA_LIFETIME)).ok_or(CaError::Time(now))?;
        // One below it: its successor, for those who know only this one yet.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = authority_name(cluster);
        let certificate = params.self_signed(&key).map_err(CaError::Sign)?;
        Self::from_parts(certificate.der(), key)
    }

    /// Loads the authority of `cluster` from `directory`, or makes and saves it there. The caller
    /// sees to it that nobody else does the same at once.
    ///
    /// # Errors
    /// When the files are unreadable, too open, damaged, half there, or another cluster's.
    pub fn load_or_create(
        directory: &Path,
        cluster: &str,
        now: Timestamp,
    ) -> Result<Self, CaError> {
        match Self::load(directory) {
            Ok(loaded) if loaded.cluster == cluster => Ok(loaded),
            Ok(loaded) => {
                Err(CaError::OtherCluster { wanted: cluster.to_owned(), found: loaded.cluster })
            }
            // The key is written first: without a certificate it has signed nothing yet.
            Err(CaError::Certificate(BundleError::File(e))) if e.is_not_found() => {
                let created = Self::create(cluster, now)?;
                created.save(directory)?;
                Ok(created)
            }
            Err(e) => Err(e),
        }
    }

    /// Loads `ca.pem` and `ca.key` from `directory`.
    ///
    /// # Errors
    /// As [`CertificateAuthority::load_or_create`].
    pub fn load(directory: &Path) -> Result<Self, CaError> {
        let certificate_path = directory.join(CERTIFICATE_FILE);
        let bundle = CaBundle::load(&certificate_path)?;
        let text = match files::read_private(&directory.join(KEY_FILE)) {
            Ok(text) => text,
            Err(e) if e.is_not_found() => return Err(CaError::KeyMissing(certificate_path)),
            Err(e) => return Err(e.into()),
        };
        Self::import(&bundle.to_pem(), std::str::from_utf8(&text).map_err(|_| CaError::Key)?)
    }

    /// Writes `ca.key` (0600), then `ca.pem`, into `directory`, which must exist.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn save(&self, directory: &Path) -> Result<(), CaError> {
        let key = Zeroizing::new(self.issuer.key().serialize_pem());
        files::write_atomic(&directory.join(KEY_FILE), key.as_bytes(), PRIVATE_MODE)?;
        self.bundle.save(&directory.join(CERTIFICATE_FILE))?;
        Ok(())
    }

    /// The cluster whose members it signs.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What peers need to trust it.
    #[must_use]
    pub fn bundle(&self) -> &CaBundle {
        &self.bundle
    }

    /// Issues a certificate and key for the server `name`, good as either end of a connection.
    ///
    /// # Errors
    /// When a name is malformed or there are too many.
    pub fn issue_server(
        &self,
        name: &str,
        names: &ServerNames,
        now: Timestamp,
    ) -> Result<Identity, CaError> {
        let key = HostKey::generate()?;
        let peer = PeerIdentity::new(&self.cluster, PeerRole::Server, name)?;
        let certificate = self.sign(key.pair(), &peer, names, now)?;
        key.into_identity(certificate)
    }

    /// Issues a certificate and key for the host `name`; for an agent in the same process. Others
    /// send a request ([`HostKey::request_pem`]), so that their key never travels.
    ///
    /// # Errors
    /// When the name is malformed.
    pub fn issue_host(&self, name: &str, now: Timestamp) -> Result<Identity, CaError> {
        let key = HostKey::generate()?;
        let peer = PeerIdentity::new(&self.cluster, PeerRole::Host, name)?;
        let certificate = self.sign(key.pair(), &peer, &ServerNames::default(), now)?;
        key.into_identity(certificate)
    }

    /// Signs the key of a request for the host or server `name`. Only the key is taken from the
    /// request; every name in it is ignored. The answer is PEM.
    ///
    /// # Errors
    /// When a name is malformed or there are too many.
    pub fn sign_request(
        &self,
        request: &SigningRequest,
        (role, name): (PeerRole, &str),
        names: &ServerNames,
        now: Timestamp,
    ) -> Result<String, CaError> {
        let peer = PeerIdentity::new(&self.cluster, role, name)?;
        let certificate = self.sign(request.public_key(), &peer, names, now)?;
        Ok(bundle::pem("CERTIFICATE", &certificate))
    }

    /// The certificate and the key as PEM, for another server of the cluster.
    #[must_use]
    pub fn export(&self) -> (String, Zeroizing<String>) {
        (self.bundle.to_pem(), Zeroizing::new(self.issuer.key().serialize_pem()))
    }

    /// The authority whose [`CertificateAuthority::export`] this is.
    ///
    /// # Errors
    /// When they are damaged or do not belong together.
    pub fn import(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let bundle = CaBundle::from_pem(certificate_pem.as_bytes())?;
        let certificate = &bundle.certificates()[0];
        let mut sections = key_pem.split_inclusive(KEY_END);
        // Where its place is being taken there are two keys; the right one decides.
        let fits = |section: &str| {
            let key = KeyPair::from_pem(section).ok()?;
            Self::from_parts(certificate, key).ok()
        };
        sections.find_map(fits).ok_or(CaError::Key)
    }

    /// Puts this authority into the place of the one whose files are in `directory`. Whoever stops
    /// at any point leaves files that [`CertificateAuthority::load`] accepts, as one or the other.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn take_over(&self, directory: &Path) -> Result<(), CaError> {
        let key = directory.join(KEY_FILE);
        let mut both = files::read_private(&key)?;
        both.extend_from_slice(self.issuer.key().serialize_pem().as_bytes());
        files::write_atomic(&key, &both, PRIVATE_MODE)?;
        self.bundle.save(&directory.join(CERTIFICATE_FILE))?;
        self.save(directory)
    }

    /// What this authority says of its successor: a certificate for its key, by which whoever knows
    /// this one alone believes what the successor signs.
    ///
    /// # Errors
    /// When the successor's certificate cannot be read, or signing fails.
    pub fn vouch_for(
        &self,
        successor: &Self,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, CaError> {
        let mut params =
            params_for(Validity::issued_at(now, CA_LIFETIME)).ok_or(CaError::Time(now))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = authority_name(&self.cluster);
        let signed = params.signed_by(successor.issuer.key(), &self.issuer);
        Ok(signed.map_err(CaError::Sign)?.der().clone())
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        peer: &PeerIdentity,
        names: &ServerNames,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, CaError> {
        let count = names.dns.len() + names.addresses.len();
        if count > MAX_NAMES {
            return Err(CaError::TooManyNames(count));
        }
        let mut params =
            params_for(Validity::issued_at(now, LEAF_LIFETIME)).ok_or(CaError::Time(now))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if peer.role() == PeerRole::Server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.distinguished_name.push(DnType::OrganizationName, self.cluster.as_str());
        params.distinguished_name.push(DnType::CommonName, peer.name());
        params.subject_alt_names = alternative_names(peer, names)?;
        let certificate = params.signed_by(key, &self.issuer).map_err(CaError::Sign)?;
        Ok(certificate.der().clone())
    }

    fn from_parts(certificate: &CertificateDer<'static>, key: KeyPair) -> Result<Self, CaError> {
        let bundle = CaBundle::new(vec![certificate.clone()])?;
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| BundleError::NotAnAuthority(1))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::Key);
        }
        let cluster = parsed
            .subject()
            .iter_organization()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned();
        check_name(&cluster)?;
        let issuer = Issuer::from_ca_cert_der(certificate, key).map_err(CaError::Sign)?;
        Ok(Self { cluster, bundle, issuer })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("cluster", &self.cluster)
            .field("certificates", &self.bundle)
            .finish_non_exhaustive()
    }
}

/// The name of a cluster's authority, and of every one that follows it.
fn authority_name(cluster: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, cluster);
    name.push(DnType::CommonName, "Freehold cluster authority");
    name
}

/// Parameters common to all certificates; `None` when certificates cannot say the time
/// (RFC 5280 §4.1.2.5 ends in the year 9999, and years before 1970 make no sense here).
fn params_for(validity: Validity) -> Option<CertificateParams> {
    let time = |at: Timestamp| {
        let seconds = u64::try_from(at.as_second()).ok()?;
        (seconds < 253_402_300_800)
            .then(|| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds))
    };
    let mut params = CertificateParams::default();
    params.not_before = time(validity.not_before)?;
    params.not_after = time(validity.not_after)?;
    params.distinguished_name = DistinguishedName::new();
    // 127 random bits; the first bit stays clear, the number is positive (RFC 5280 §4.1.2.2).
    let mut serial = random::bytes::<16>();
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Some(params)
}

fn alternative_names(peer: &PeerIdentity, names: &ServerNames) -> Result<Vec<SanType>, CaError> {
    let uri = peer.to_string();
    let uri = uri.as_str().try_into().map_err(|_| CaError::DnsName(uri.clone()))?;
    let mut out = vec![SanType::URI(uri)];
    for name in &names.dns {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let valid = rustls_pki_types::DnsName::try_from(bare).is_ok() && bare.is_ascii();
        let text = valid.then(|| name.as_str().try_into().ok()).flatten();
        out.push(SanType::DnsName(text.ok_or_else(|| CaError::DnsName(name.clone()))?));
    }
    out.extend(names.addresses.iter().map(|address| SanType::IpAddress(*address)));
    Ok(out)
}
