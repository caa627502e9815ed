//! What a server holds to let others in: whom it trusts, the authority's key, and a clock for
//! certificates. Decides nothing about who may come in.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::time::Timestamp;
use parking_lot::RwLock;
use pki::{CaBundle, CertificateAuthority, SwappableAuthorities, TlsError};
use rustls::time_provider::TimeProvider;

use crate::engine::Endpoints;

/// A server's part in the cluster's trust.
#[derive(Debug)]
pub struct Trust {
    /// Whose certificates are accepted; exchanged while the server runs.
    pub authorities: Arc<SwappableAuthorities>,
    /// Signs certificates; none on a server that was not given the authority's key.
    authority: RwLock<Option<Arc<CertificateAuthority>>>,
    /// The clock that certificates and join tokens are judged by.
    pub clock: Arc<dyn TimeProvider>,
    /// The endpoints of the etcd that keeps the cluster's state; none when SQLite does.
    pub etcd: Endpoints,
}

impl Trust {
    /// Trusts `authorities` and signs with `authority`.
    ///
    /// # Errors
    /// When the authorities are refused.
    pub fn new(
        authorities: &CaBundle,
        authority: Option<CertificateAuthority>,
        clock: Arc<dyn TimeProvider>,
        etcd: Endpoints,
    ) -> Result<Self, TlsError> {
        let authority = RwLock::new(authority.map(Arc::new));
        Ok(Self { authorities: SwappableAuthorities::new(authorities)?, authority, clock, etcd })
    }

    /// Whom it trusts now, the authority that signs first.
    #[must_use]
    pub fn bundle(&self) -> CaBundle {
        self.authorities.bundle()
    }

    /// The time by its clock.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        let seconds = self.clock.current_time().map_or(0, |time| time.as_secs());
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
    }

    /// The same as documents have it.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp(self.now().as_millisecond())
    }

    /// The authority with its key.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] on a server that has no key.
    pub fn signs(&self) -> Result<Arc<CertificateAuthority>, ApiError> {
        self.authority.read().clone().ok_or_else(|| {
            let message = "this server does not have the key of the cluster's authority";
            ApiError::new(ErrorCode::Unavailable, message)
                .hint("start it with --authority DIR, the directory of ca.pem and ca.key")
        })
    }

    /// From now on `authority` signs.
    pub fn sign_with(&self, authority: CertificateAuthority) {
        *self.authority.write() = Some(Arc::new(authority));
    }
}
