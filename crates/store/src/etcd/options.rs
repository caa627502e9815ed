//! What a client of etcd is told: where, as whom, how long to wait.

use std::fmt;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use zeroize::Zeroizing;

/// The certificate a client shows and the authorities it trusts, all PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// Who may have signed the members' certificates.
    pub authorities: Vec<u8>,
    /// The client's own certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").finish_non_exhaustive()
    }
}

/// How to reach an etcd and how patient to be with it.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// Clients' addresses of the members: `https://host:port`, or `http://` without TLS.
    pub endpoints: Vec<String>,
    /// None speaks without TLS.
    pub tls: Option<EtcdTls>,
    /// What all keys begin with, so that an etcd may be shared.
    pub prefix: String,
    /// The longest a read takes, retries included.
    pub timeout: Duration,
    /// The longest a write takes; without an answer then it is uncertain. A proposal that dies with
    /// etcd's leader is never answered, so this is the pause its writer sees.
    pub write_timeout: Duration,
    /// How long a member may take before others are asked: reads are sent to the next one, writes
    /// wait on but what comes after them goes elsewhere.
    pub patience: Duration,
    /// How often a connection in use is pinged, and how long the answer may take. etcd refuses
    /// clients that ping more often than its `--grpc-keepalive-min-time` (5 s by default).
    pub ping: (Duration, Duration),
}

impl EtcdOptions {
    /// The defaults: 3 s for a read and 1.5 s for a write (an etcd without a leader for 1.3 s is
    /// waited for), 700 ms for a member, pings that any etcd takes.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            prefix: "freehold/".to_owned(),
            timeout: Duration::from_secs(3),
            write_timeout: Duration::from_millis(1_500),
            patience: Duration::from_millis(700),
            ping: (Duration::from_secs(6), Duration::from_secs(2)),
        }
    }

    /// The same with TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: EtcdTls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub(super) fn connect_options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.patience)
            .with_keep_alive(self.ping.0, self.ping.1)
            .with_require_leader(true);
        if let Some(tls) = &self.tls {
            let tls = TlsOptions::new()
                .ca_certificate(Certificate::from_pem(&tls.authorities))
                .identity(Identity::from_pem(&tls.certificate, tls.key.as_slice()));
            options = options.with_tls(tls);
        }
        options
    }
}
