//! Who the other end of a connection is, read from its certificate. Must not decide what it may
//! do, and must not be asked before the certificate was verified against the authority.

use std::fmt;
use std::str::FromStr;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The scheme of identity URIs. The form follows SPIFFE IDs (trust domain, then path).
const SCHEME: &str = "freehold://";

/// The longest name of a cluster, host or server: one label of a domain name (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 63;

/// Why a certificate, a URI or a name is no identity of a cluster's member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The bytes are not one X.509 certificate.
    #[error("parse the peer's certificate")]
    NotACertificate,
    /// The certificate names no member of a cluster.
    #[error("find an identity in the peer's certificate")]
    NoIdentity,
    /// The certificate names more than one member.
    #[error("choose an identity in the peer's certificate: it has several")]
    SeveralIdentities,
    /// The URI is not `freehold://CLUSTER/ROLE/NAME`.
    #[error("parse identity {0:?}: not freehold://CLUSTER/ROLE/NAME")]
    NotAnIdentity(String),
    /// A name holds other characters than `a-z 0-9 - .`, or is empty or too long.
    #[error("accept name {0:?}: 1 to 63 of a-z 0-9 - . are allowed, the ends without - and .")]
    BadName(String),
}

/// What a member of the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerRole {
    /// A machine that runs instances; its agent holds the certificate.
    Host,
    /// A process of the control plane.
    Server,
}

impl PeerRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Server => "server",
        }
    }
}

/// One member of a cluster, as its certificate's URI names it:
/// `freehold://CLUSTER/host/NAME` or `freehold://CLUSTER/server/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerIdentity {
    cluster: String,
    role: PeerRole,
    name: String,
}

impl PeerIdentity {
    /// The identity of the member `name` with `role` in `cluster`.
    ///
    /// # Errors
    /// [`PeerError::BadName`] for either name.
    pub fn new(cluster: &str, role: PeerRole, name: &str) -> Result<Self, PeerError> {
        check_name(cluster)?;
        check_name(name)?;
        Ok(Self { cluster: cluster.to_owned(), role, name: name.to_owned() })
    }

    /// Reads the identity from a certificate in DER. The caller has verified the certificate.
    ///
    /// # Errors
    /// When it is no certificate, or does not name exactly one member of a cluster.
    pub fn from_certificate(der: &[u8]) -> Result<Self, PeerError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| PeerError::NotACertificate)?;
        if !rest.is_empty() {
            return Err(PeerError::NotACertificate);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PeerError::NotACertificate)?
            .ok_or(PeerError::NoIdentity)?;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (None, _) => Err(PeerError::NoIdentity),
            (Some(uri), None) => uri.parse(),
            (Some(_), Some(_)) => Err(PeerError::SeveralIdentities),
        }
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What the member is.
    #[must_use]
    pub fn role(&self) -> PeerRole {
        self.role
    }

    /// The member's name, unique among those with its role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.role.as_str(), self.name)
    }
}

impl FromStr for PeerIdentity {
    type Err = PeerError;

    fn from_str(uri: &str) -> Result<Self, PeerError> {
        let malformed = || PeerError::NotAnIdentity(uri.to_owned());
        let mut parts = uri.strip_prefix(SCHEME).ok_or_else(malformed)?.split('/');
        let (cluster, role, name) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(cluster), Some(role), Some(name), None) => (cluster, role, name),
            _ => return Err(malformed()),
        };
        let role = match role {
            "host" => PeerRole::Host,
            "server" => PeerRole::Server,
            _ => return Err(malformed()),
        };
        Self::new(cluster, role, name)
    }
}

/// Refuses what could be mistaken for another part of a URI or a path.
pub(crate) fn check_name(name: &str) -> Result<(), PeerError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let end = |b: Option<&u8>| b.is_some_and(|b| *b != b'-' && *b != b'.');
    let bytes = name.as_bytes();
    let good = bytes.len() <= MAX_NAME_BYTES
        && bytes.iter().all(|b| inner(*b))
        && end(bytes.first())
        && end(bytes.last())
        && !name.contains("..");
    if good { Ok(()) } else { Err(PeerError::BadName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uri_and_identity_are_one(
            cluster in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            name in "[a-z0-9](-?[a-z0-9]){0,20}(\\.[a-z0-9]{1,9}){0,2}",
            role in prop::sample::select(vec![PeerRole::Host, PeerRole::Server]),
        ) {
            let identity = PeerIdentity::new(&cluster, role, &name).unwrap();
            prop_assert_eq!(identity.to_string().parse::<PeerIdentity>().unwrap(), identity);
        }

        #[test]
        fn what_parses_prints_the_same(uri in "(freehold://)?[a-z/.%@:A-Z-]{0,30}") {
            if let Ok(identity) = uri.parse::<PeerIdentity>() {
                prop_assert_eq!(identity.to_string(), uri);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(der in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(PeerIdentity::from_certificate(&der).is_err());
        }
    }

    #[test]
    fn names_that_could_confuse_are_refused() {
        for name in ["", ".", "..", "-a", "a-", "a/b", "a b", "A", "a..b", "ä", "a\n", "a%2f"] {
            assert_eq!(check_name(name), Err(PeerError::BadName(name.to_owned())));
        }
        assert!(check_name(&"a".repeat(63)).is_ok());
        assert!(check_name(&"a".repeat(64)).is_err());
    }
}
