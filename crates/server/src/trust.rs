//! What a server holds to let others in: the authority's key, and a clock for certificates. Decides
//! nothing about who may come in.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::time::Timestamp;
use pki::{CaBundle, CertificateAuthority};
use rustls::time_provider::TimeProvider;

use crate::engine::Endpoints;

/// A server's part in the cluster's trust.
#[derive(Debug)]
pub struct Trust {
    /// Whose certificates are accepted.
    pub authorities: CaBundle,
    /// Signs certificates; none on a server that was not given the authority's key.
    pub authority: Option<CertificateAuthority>,
    /// The clock that certificates and join tokens are judged by.
    pub clock: Arc<dyn TimeProvider>,
    /// The endpoints of the etcd that keeps the cluster's state; none when SQLite does.
    pub etcd: Endpoints,
}

impl Trust {
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
    pub fn signs(&self) -> Result<&CertificateAuthority, ApiError> {
        self.authority.as_ref().ok_or_else(|| {
            let message = "this server does not have the key of the cluster's authority";
            ApiError::new(ErrorCode::Unavailable, message)
                .hint("start it with --authority DIR, the directory of ca.pem and ca.key")
        })
    }
}
