//! The server's own certificate: shown with the cluster's authorities, renewed by itself while it
//! runs and when it starts, so that a cluster that was off for a month comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pki::{Identity, Renewal, ServerNames, SwappableIdentity};
use tokio_util::sync::CancellationToken;

use crate::run::{Options, RunError, keys};
use crate::trust::Trust;

/// How often it is looked at; it is renewed twenty days before it ends.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The server's certificate and where it is kept.
pub(crate) struct OwnCertificate {
    certificate: PathBuf,
    key: PathBuf,
    shown: Arc<SwappableIdentity>,
}

impl OwnCertificate {
    /// Reads it; renews it first when that is due and this server can sign.
    pub(crate) fn load(options: &Options, trust: &Trust) -> Result<Self, RunError> {
        let (certificate, key) = (options.certificate.clone(), options.key.clone());
        let failed = |e| keys("the server's certificate", e);
        let loaded = Identity::load(&certificate, &key).map_err(failed)?;
        let (identity, fresh) = renewed(loaded, trust).map_err(|cause| RunError::Keys {
            what: "the server's certificate".to_owned(),
            cause,
        })?;
        if fresh {
            let saved = identity.save(&certificate, &key);
            saved.map_err(|e| keys("the server's new certificate", e))?;
        }
        let shown = identity.with_authorities(&trust.authorities).map_err(failed)?;
        let shown = SwappableIdentity::new(&shown).map_err(failed)?;
        Ok(Self { certificate, key, shown })
    }

    /// What handshakes show, always the newest.
    pub(crate) fn identity(&self) -> Arc<SwappableIdentity> {
        self.shown.clone()
    }

    /// Renews it when that is due, until told to stop. Connections go on.
    pub(crate) async fn keep(self, trust: Arc<Trust>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.renew(&trust) {
                tracing::warn!(%error, "renew the server's certificate");
            }
        }
    }

    fn renew(&self, trust: &Trust) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let loaded = Identity::load(&self.certificate, &self.key)?;
        let (identity, fresh) = renewed(loaded, trust)?;
        if fresh {
            identity.save(&self.certificate, &self.key)?;
            self.shown.replace(&identity.with_authorities(&trust.authorities)?)?;
            tracing::info!("renewed the server's certificate");
        }
        Ok(())
    }
}

/// The same identity, or the next one when it is time and this server can sign; true for the next.
fn renewed(
    identity: Identity,
    trust: &Trust,
) -> Result<(Identity, bool), Box<dyn std::error::Error + Send + Sync>> {
    let due = !matches!(identity.validity().renewal(trust.now()), Renewal::NotBefore(_));
    match &trust.authority {
        Some(authority) if due => {
            let peer = identity.peer()?;
            let names = ServerNames { dns: identity.dns_names(), addresses: identity.addresses() };
            let next = authority.issue_server(peer.name(), &names, trust.now())?;
            Ok((next, true))
        }
        _ => Ok((identity, false)),
    }
}
