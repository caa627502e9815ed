//! The agent's certificate and the authorities it trusts. The certificate is renewed by the servers
//! a third into its life, or late, when all was off for a month, or when another authority signs
//! now; it is read again when its file changes. Authorities come from the servers, with a
//! generation; an agent that was off meanwhile learns of them when it comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::about::About;
use api::authority::{Authorities, Trusts};
use api::join::RenewRequest;
use client::{Client, ClientError, Config};
use pki::{
    BundleError, CaBundle, CaError, FileError, HostKey, Identity, IdentityError, Renewal,
    SwappableAuthorities, SwappableIdentity, TlsError,
};
use tokio::sync::watch;
use tokio::time::sleep;

use super::options::Options;
use crate::converge::{Verdict, judge};
use crate::failure::told;
use crate::link::Servers;
use crate::state::Keeper;

/// How often the file is looked at; certificates are renewed days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How many looks pass after a renewal that failed: ten minutes when there is time, none when the
/// certificate has expired and keeps the host from its servers.
const PAUSE: u32 = 20;

/// When another authority signs, the hosts ask for certificates within this, not all at once: a
/// server signs some thousand a second.
const SPREAD_MS: u64 = 3_000;

pub(super) fn load(options: &Options) -> Result<Arc<SwappableIdentity>, IdentityError> {
    SwappableIdentity::new(&Identity::load(&options.certificate, &options.key)?)
}

/// What keeps certificate and authorities fresh.
pub(super) struct Keeping {
    pub options: Options,
    pub servers: watch::Receiver<Servers>,
    pub identity: Arc<SwappableIdentity>,
    pub trusted: Arc<SwappableAuthorities>,
    /// Authorities as servers hand them out.
    pub given: watch::Receiver<Option<Authorities>>,
    /// Those that were taken last.
    pub taken: Option<Authorities>,
    pub keeper: Keeper<Authorities>,
    pub about: watch::Sender<About>,
}

/// Why a certificate was not renewed, or authorities not taken.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("read the certificate to renew")]
    Identity(#[from] IdentityError),
    #[error("use the key of the certificate to renew")]
    Key(#[from] CaError),
    #[error("ask a server for the next certificate")]
    Ask(#[from] ClientError),
    #[error("keep what a server gave")]
    Keep(#[from] FileError),
    #[error("take the authorities over")]
    Bundle(#[from] BundleError),
    #[error("trust the authorities")]
    Tls(#[from] TlsError),
    #[error("take the authorities over: none of those trusted now is among them")]
    Strangers,
    #[error("take the authorities over: none of them signed this host's certificate")]
    Unsigned,
}

impl Keeping {
    /// Keeps both fresh, and takes over what others put in the certificate's place; runs until
    /// dropped.
    pub(super) async fn run(mut self) {
        let mut last = written(&self.options.certificate);
        let mut pause = 0;
        loop {
            let mut problem = String::new();
            if let Err(error) = self.look(&mut pause).await {
                tracing::warn!(error = told(&error), "certificate and authorities stay");
                problem = told(&error);
            }
            let now = written(&self.options.certificate);
            if now != last {
                let renewed = Identity::load(&self.options.certificate, &self.options.key)
                    .and_then(|renewed| self.identity.replace(&renewed));
                match renewed {
                    Ok(()) => {
                        tracing::info!("took a renewed certificate");
                        last = now;
                    }
                    Err(error) => tracing::warn!(error = told(&error), "the old certificate stays"),
                }
            }
            self.say(problem);
            // Cancel-safe: it only tells that there is something new.
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                Ok(()) = self.given.changed() => {}
            }
        }
    }

    async fn look(&mut self, pause: &mut u32) -> Result<(), RenewError> {
        let given = self.given.borrow_and_update().clone();
        let given = given.filter(|given| judged(self.taken.as_ref(), given) == Verdict::Take);
        let Some(given) = given else { return self.renew_when_due(pause).await };
        let (bundle, present) = (CaBundle::from_pem(given.pem.as_bytes())?, self.trusted.bundle());
        if !bundle.certificates().iter().any(|one| present.certificates().contains(one)) {
            return Err(RenewError::Strangers);
        }
        // Who drops the authority of its own certificate is shut out: the next certificate first.
        if !self.signed_by(&bundle)? {
            self.renew().await?;
            if !self.signed_by(&bundle)? {
                return Err(RenewError::Unsigned);
            }
        }
        if CaBundle::load(&self.options.authorities).ok().as_ref() != Some(&bundle) {
            bundle.save(&self.options.authorities)?;
        }
        self.trusted.replace(&bundle)?;
        tracing::info!(generation = given.generation, trusts = ?bundle, "took authorities over");
        self.keeper.keep(Arc::new(given.clone()));
        self.taken = Some(given);
        *pause = 0;
        self.say(String::new());
        self.renew_when_due(pause).await
    }

    fn signed_by(&self, bundle: &CaBundle) -> Result<bool, RenewError> {
        let own = Identity::load(&self.options.certificate, &self.options.key)?;
        Ok(bundle.signer_of(&own.certificate_pem()).is_some())
    }

    /// Asks for the next certificate when it is time, or when another authority signs now.
    async fn renew_when_due(&self, pause: &mut u32) -> Result<(), RenewError> {
        let present = Identity::load(&self.options.certificate, &self.options.key)?;
        let now = jiff::Timestamp::from_millisecond(self.options.clock.wall().0);
        let renewal = present.validity().renewal(now.unwrap_or_default());
        let bundle = self.trusted.bundle();
        let signer = bundle.signer_of(&present.certificate_pem());
        let other = self.taken.is_some() && signer != Some(bundle.fingerprint());
        match renewal {
            Renewal::NotBefore(_) if !other => return Ok(()),
            Renewal::NotBefore(_) | Renewal::Due if *pause > 0 => {
                *pause -= 1;
                return Ok(());
            }
            Renewal::NotBefore(_) => {
                sleep(Duration::from_millis(rand::random::<u64>() % SPREAD_MS)).await;
            }
            Renewal::Due | Renewal::Expired => {}
        }
        // Who only follows another authority tries again soon.
        *pause = if other { 0 } else { PAUSE };
        self.renew().await?;
        *pause = 0;
        Ok(())
    }

    /// Asks for the next certificate. The connection shows no certificate, so an expired one is no
    /// obstacle: the signature of the request proves that the key is here.
    async fn renew(&self) -> Result<(), RenewError> {
        let present = Identity::load(&self.options.certificate, &self.options.key)?;
        let addresses = self.servers.borrow().all();
        let ca_pem = Some(self.trusted.bundle().to_pem());
        let client = Client::new(&Config { addresses, token: None, ca_pem })?;
        let key = HostKey::load(&self.options.key)?;
        let request = RenewRequest {
            certificate_pem: present.certificate_pem(),
            request_pem: key.request_pem()?,
            time: self.options.clock.wall(),
        };
        let answer = client.renew(&request).await?;
        let next = key.with_certificate(&answer.certificate_pem)?;
        next.save(&self.options.certificate, &self.options.key)?;
        self.identity.replace(&next)?;
        Ok(())
    }

    /// Says what this host trusts and shows.
    fn say(&self, problem: String) {
        let bundle = self.trusted.bundle();
        let own = Identity::load(&self.options.certificate, &self.options.key);
        let signer = own.ok().and_then(|own| bundle.signer_of(&own.certificate_pem()));
        let trusts = Trusts {
            generation: self.taken.as_ref().map_or(0, |taken| taken.generation),
            authorities: bundle.fingerprints().iter().map(ToString::to_string).collect(),
            signer: signer.map(|signer| signer.to_string()).unwrap_or_default(),
            engine: None,
            problem,
        };
        self.about.send_if_modified(|about| {
            let changed = about.trusts != trusts;
            about.trusts = trusts;
            changed
        });
    }
}

/// Whether to take authorities, as with every document.
fn judged(taken: Option<&Authorities>, given: &Authorities) -> Verdict {
    use api::id::Generation;
    let have = taken.map(|taken| (Generation(taken.generation), taken));
    let verdict = judge(have, (Generation(given.generation), given));
    if matches!(verdict, Verdict::Older | Verdict::Conflict) {
        tracing::error!(given.generation, ?verdict, "refused authorities");
    }
    verdict
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
