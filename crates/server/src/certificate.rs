//! The server's own certificate: shown with the cluster's authorities, renewed by itself while it
//! runs and when it starts, so that a cluster that was off for a month comes back. A renewal keeps
//! the key, by which the other servers know it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pki::{CaBundle, HostKey, Identity, Renewal, ServerNames, SigningRequest, SwappableIdentity};
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::run::{Options, RunError, keys};
use crate::trust::Trust;

/// How often it is looked at; it is renewed twenty days before it ends.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The file of lent addresses, beside the server's state.
const LENT: &str = "lent-addresses.json";

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The server's certificate and where it is kept.
pub(crate) struct OwnCertificate {
    certificate: PathBuf,
    key: PathBuf,
    shown: Arc<SwappableIdentity>,
    /// What is shown behind it.
    rest: Mutex<Vec<CertificateDer<'static>>>,
    /// Addresses that others than this server may have, and where they are kept.
    lent: Mutex<Lent>,
    lent_file: PathBuf,
}

/// Addresses in the certificate that are not this server's own: it answers there through the
/// ingress.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lent {
    /// Those that the certificate may have got.
    given: BTreeSet<IpAddr>,
    /// Those that it shall have; none before the cluster's state was seen.
    wanted: Option<BTreeSet<IpAddr>>,
}

impl Lent {
    /// The addresses that the certificate shall have, from those that it has.
    fn addresses(&self, has: &[IpAddr]) -> Vec<IpAddr> {
        let Some(wanted) = &self.wanted else { return has.to_vec() };
        let own = has.iter().filter(|address| !self.given.contains(address));
        let own: Vec<IpAddr> = own.copied().collect();
        let lent = wanted.iter().filter(|address| !own.contains(address)).copied();
        own.iter().copied().chain(lent).collect()
    }
}

impl OwnCertificate {
    /// Reads it; renews it first when that is due and this server can sign.
    pub(crate) fn load(options: &Options, trust: &Trust) -> Result<Self, RunError> {
        let (certificate, key) = (options.certificate.clone(), options.key.clone());
        let failed = |e| keys("the server's certificate", e);
        let rest = trust.bundle().certificates().to_vec();
        let loaded = Identity::load(&certificate, &key).map_err(failed)?;
        let shown = loaded.followed_by(&rest).map_err(failed)?;
        let shown = SwappableIdentity::new(&shown).map_err(failed)?;
        let lent_file = options.data.join(LENT);
        let given = read_lent(&lent_file);
        let lent = Mutex::new(Lent { given, wanted: None });
        let own = Self { certificate, key, shown, rest: Mutex::new(rest), lent, lent_file };
        own.renew(trust).map_err(|cause| RunError::Keys {
            what: "the server's certificate".to_owned(),
            cause,
        })?;
        Ok(own)
    }

    /// What handshakes show, always the newest.
    pub(crate) fn identity(&self) -> Arc<SwappableIdentity> {
        self.shown.clone()
    }

    /// The fingerprint of the authority that signed it; empty when that is none of these.
    pub(crate) fn signer(&self, authorities: &CaBundle) -> String {
        let loaded = Identity::load(&self.certificate, &self.key);
        let signer = loaded.ok().and_then(|own| authorities.signer_of(&own.certificate_pem()));
        signer.map(|signer| signer.to_string()).unwrap_or_default()
    }

    /// Shows these behind it from the next handshake on: an old authority's words, then the
    /// authorities, for machines that know one of them by its fingerprint.
    pub(crate) fn show(
        &self,
        words: Vec<CertificateDer<'static>>,
        authorities: &CaBundle,
    ) -> Result<(), Failed> {
        let rest = [words, authorities.certificates().to_vec()].concat();
        if *self.rest.lock() == rest {
            return Ok(());
        }
        let own = Identity::load(&self.certificate, &self.key)?;
        self.shown.replace(&own.followed_by(&rest)?)?;
        *self.rest.lock() = rest;
        Ok(())
    }

    /// Has it name the addresses at which the ingress answers for this server, and follows them,
    /// until told to stop.
    pub(crate) async fn follow_entries(
        self: Arc<Self>,
        core: Arc<Core>,
        trust: Arc<Trust>,
        stop: CancellationToken,
    ) {
        let mut changes = core.cache.changes();
        loop {
            changes.mark_unchanged();
            let wanted = core.entry_addresses(&core.view());
            let before = self.lent.lock().wanted.replace(wanted.clone());
            if before != Some(wanted)
                && let Err(error) = self.renew(&trust)
            {
                tracing::warn!(%error, "put the ingress' addresses into the server's certificate");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Renews it when that is due, until told to stop. Connections go on.
    pub(crate) async fn keep(self: Arc<Self>, trust: Arc<Trust>, stop: CancellationToken) {
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

    /// Renews it when it is time, when another authority signs now, or when the ingress answers
    /// elsewhere, and this server can sign.
    pub(crate) fn renew(&self, trust: &Trust) -> Result<(), Failed> {
        let Ok(authority) = trust.signs() else { return Ok(()) };
        // One at a time.
        let mut lent = self.lent.lock();
        let own = Identity::load(&self.certificate, &self.key)?;
        let has = own.addresses();
        let addresses = lent.addresses(&has);
        let due = !matches!(own.validity().renewal(trust.now()), Renewal::NotBefore(_));
        let signed = authority.bundle().signer_of(&own.certificate_pem()).is_some();
        if !due && signed && addresses == has {
            return Ok(());
        }
        let peer = own.peer()?;
        let names = ServerNames { dns: own.dns_names(), addresses };
        let mut given = lent.given.clone();
        given.extend(lent.wanted.iter().flatten());
        given.retain(|address| !has.contains(address) || lent.given.contains(address));
        // First what may be in it, then the certificate, then what is.
        write_lent(&self.lent_file, &given)?;
        let key = HostKey::load(&self.key)?;
        let request = SigningRequest::from_pem(&key.request_pem()?)?;
        let who = (peer.role(), peer.name());
        let next = authority.sign_request(&request, who, &names, trust.now())?;
        let next = key.with_certificate(&next)?;
        next.save(&self.certificate, &self.key)?;
        if let Some(wanted) = &lent.wanted {
            given.retain(|address| wanted.contains(address));
            write_lent(&self.lent_file, &given)?;
        }
        lent.given = given;
        self.shown.replace(&next.followed_by(&self.rest.lock())?)?;
        tracing::info!("renewed the server's certificate");
        Ok(())
    }
}

/// What is lost is only that an address that was lent stays in the certificate.
fn read_lent(path: &Path) -> BTreeSet<IpAddr> {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_lent(path: &Path, given: &BTreeSet<IpAddr>) -> Result<(), Failed> {
    let text = serde_json::to_vec(given).expect("addresses are JSON");
    Ok(pki::write_atomic(path, &text, pki::PUBLIC_MODE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lent(given: &[&str], wanted: Option<&[&str]>) -> Lent {
        let set = |texts: &[&str]| ips(texts).into_iter().collect();
        Lent { given: set(given), wanted: wanted.map(set) }
    }

    #[test]
    fn lent_addresses_come_and_go_and_its_own_stay() {
        let has = ips(&["10.0.0.1", "127.0.0.1"]);
        assert_eq!(lent(&[], None).addresses(&has), has, "nothing is known yet");
        let with = lent(&[], Some(&["10.0.0.1", "10.0.0.100"])).addresses(&has);
        assert_eq!(with, ips(&["10.0.0.1", "127.0.0.1", "10.0.0.100"]));
        let moved = lent(&["10.0.0.100"], Some(&["10.0.0.101"])).addresses(&with);
        assert_eq!(moved, ips(&["10.0.0.1", "127.0.0.1", "10.0.0.101"]));
        let none = lent(&["10.0.0.100"], Some(&[])).addresses(&with);
        assert_eq!(none, has, "its own address is not taken with those that were lent");
        let same = lent(&["10.0.0.100"], Some(&["10.0.0.100"])).addresses(&with);
        assert_eq!(same, with, "no reason for a new certificate");
    }
}
