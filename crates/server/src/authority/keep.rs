//! A server's part: takes over what is to be trusted, changes over to the new authority when it
//! signs, starts its etcd anew when it is its turn, and says how far it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::authority::{Phase, Trusts};
use pki::{CaBundle, CertificateAuthority};
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::exchange::texts;
use crate::certificate::OwnCertificate;
use crate::core::{Core, Kind, StoredAuthority, StoredSuccessor};
use crate::engine;
use crate::trust::Trust;

/// How often is looked although nothing changed: what failed is tried again.
const LOOK: Duration = Duration::from_secs(2);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Keeps a server's trust as the cluster's document says.
pub(crate) struct AuthorityKeeper {
    pub(crate) core: Arc<Core>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) certificate: Arc<OwnCertificate>,
    /// The file of the authorities.
    pub(crate) authorities: PathBuf,
    /// The directory of the authority's certificate and key, where this server has it.
    pub(crate) authority: Option<PathBuf>,
    /// Its etcd, where it has one.
    pub(crate) engine: Option<engine::Options>,
}

impl AuthorityKeeper {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut changes = self.core.cache.changes();
        let mut taken = 0;
        loop {
            // Cut off anywhere, it goes on where it was.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.step(&mut taken) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn step(&self, taken: &mut u64) {
        let view = self.core.view();
        let row = view.authority();
        let mut problem = String::new();
        if let Some(row) = row {
            match self.take_over(&row.document.body) {
                Ok(()) => *taken = row.generation,
                Err(error) => {
                    tracing::warn!(%error, "take over the cluster's authorities");
                    problem = error.to_string();
                }
            }
        }
        let said = Trusts {
            generation: *taken,
            authorities: texts(&self.trust.bundle()),
            signer: self.certificate.signer(&self.trust.bundle()),
            engine: self.engine.as_ref().map(|engine| engine::trusted(&engine.directory)),
            problem,
        };
        if let Err(error) = self.core.note_own(said).await {
            tracing::debug!(%error, "say what this server trusts");
        }
        let me = format!("server {}", self.core.servers.me);
        if row.is_some_and(|row| row.engine_turn.as_ref() == Some(&me) && *taken == row.generation)
            && let Err(error) = self.start_engine_anew().await
        {
            tracing::warn!(error, "start etcd anew with the cluster's authorities");
        }
    }

    /// Takes over what is to be trusted, what signs and what is shown.
    fn take_over(&self, it: &StoredAuthority) -> Result<(), Failed> {
        let bundle = it.bundle().map_err(|error| error.message)?;
        let signs = it.signs().map_err(|error| error.message)?;
        if let (Some(successor), Phase::Issue | Phase::Drop) = (&it.successor, it.phase) {
            self.succeed(it, successor)?;
        }
        let trusted = self.trust.bundle();
        if it.phase == Phase::Drop || it.phase == Phase::Settled {
            // Never forget whoever signed what this server shows.
            self.certificate.renew(&self.trust)?;
            let signer = self.certificate.signer(&trusted.followed_by(&bundle)?);
            if signer != signs.to_string() {
                let had = "this server has no certificate of the new authority";
                return Err(format!("{had}; has it the authority's key (--authority)?").into());
            }
        }
        if trusted != bundle {
            bundle.save(&self.authorities)?;
            self.trust.authorities.replace(&bundle)?;
            tracing::info!(generation = it.generation, trusts = ?bundle, "took authorities over");
        } else if CaBundle::load(&self.authorities).ok().as_ref() != Some(&bundle) {
            bundle.save(&self.authorities)?;
        }
        self.certificate.renew(&self.trust)?;
        self.certificate.show(words(it)?, &bundle)?;
        Ok(())
    }

    /// Changes over to the new authority's key.
    fn succeed(&self, it: &StoredAuthority, successor: &StoredSuccessor) -> Result<(), Failed> {
        let Some(directory) = &self.authority else { return Ok(()) };
        let new = CaBundle::from_pem(successor.certificate_pem.as_bytes())?.fingerprint();
        if self.trust.signs().is_ok_and(|signs| signs.bundle().fingerprint() == new) {
            return Ok(());
        }
        let key = self.core.open(&it.key(), successor.version, &successor.sealed);
        let key = key.map_err(|error| error.message)?;
        let authority = CertificateAuthority::import(&successor.certificate_pem, &key.0)?;
        authority.take_over(directory)?;
        self.trust.sign_with(authority);
        tracing::info!(authority = %new, "the new authority signs");
        Ok(())
    }

    /// Ends this server's etcd in good order; it is started again at once, and reads anew whom it
    /// trusts. Returns when it answers.
    async fn start_engine_anew(&self) -> Result<(), String> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let set = |list: Vec<String>| list.into_iter().collect::<BTreeSet<String>>();
        if set(engine::trusted(&engine.directory)) == set(texts(&self.trust.bundle())) {
            return Ok(());
        }
        tracing::info!("etcd is started anew, to trust the cluster's authorities of now");
        engine::start_anew(engine).await.map_err(|error| error.to_string())
    }
}

/// What the old authority says of the new one, as long as somebody may know the old one alone.
fn words(it: &StoredAuthority) -> Result<Vec<CertificateDer<'static>>, Failed> {
    match (&it.successor, it.phase) {
        (Some(successor), Phase::Issue) => {
            Ok(CaBundle::from_pem(successor.word_pem.as_bytes())?.certificates().to_vec())
        }
        _ => Ok(Vec::new()),
    }
}
