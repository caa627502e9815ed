//! An etcd that others run: where it is, which certificate it is shown, and that files which change
//! while the server runs are taken over without a connection being missed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pki::{CaBundle, Identity};
use store::{EtcdOptions, EtcdStore, EtcdTls};
use tokio_util::sync::CancellationToken;

use crate::run::RunError;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// An etcd that others run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Its members' addresses for clients.
    pub endpoints: Vec<String>,
    /// What it is shown where an address begins with `https`; none means the server's own
    /// certificate, and that the cluster's authorities are trusted.
    pub files: Option<EtcdFiles>,
}

/// The files of a client of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdFiles {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// That certificate's key, PEM.
    pub key: PathBuf,
    /// Who may have signed the members' certificates, PEM.
    pub authorities: PathBuf,
}

/// What the files say.
#[derive(Clone)]
struct Content(EtcdTls);

impl Content {
    /// Reads all three, which must belong together.
    fn read(files: &EtcdFiles) -> Result<Self, Failed> {
        let own = Identity::load(&files.certificate, &files.key)?;
        let authorities = CaBundle::load(&files.authorities)?;
        Ok(Self(EtcdTls {
            authorities: authorities.to_pem().into_bytes(),
            certificate: own.certificate_pem().into_bytes(),
            key: own.key_pem().to_string().into_bytes().into(),
        }))
    }

    fn same(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        (&one.authorities, &one.certificate, &one.key)
            == (&other.authorities, &other.certificate, &other.key)
    }
}

/// Follows the files.
pub(crate) struct Follower {
    store: Arc<EtcdStore>,
    endpoints: Vec<String>,
    files: EtcdFiles,
    shown: Content,
    /// What was last said to be wrong with the files.
    problem: String,
}

/// Opens the store; without TLS there is nothing to follow.
pub(crate) async fn open(
    endpoints: &[String],
    files: EtcdFiles,
) -> Result<(Arc<EtcdStore>, Option<Follower>), RunError> {
    let options = EtcdOptions::new(endpoints.iter().cloned());
    if !endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        return Ok((Arc::new(EtcdStore::open(options).await?), None));
    }
    let read = Content::read(&files);
    let shown = read.map_err(|cause| RunError::Keys {
        what: format!("the certificate for etcd, {}", files.certificate.display()),
        cause,
    })?;
    let store = Arc::new(EtcdStore::open(options.with_tls(shown.0.clone())).await?);
    let endpoints = endpoints.to_vec();
    let problem = String::new();
    let follower = Follower { store: store.clone(), endpoints, files, shown, problem };
    Ok((store, Some(follower)))
}

impl Follower {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let problem = match self.look().await {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            };
            if problem != self.problem && !problem.is_empty() {
                tracing::warn!(error = problem, "the certificate for etcd stays as it was");
            }
            self.problem = problem;
        }
    }

    /// Takes over what has changed. Whoever writes one file after the other is waited for: until
    /// certificate and key fit, the last pair is shown.
    async fn look(&mut self) -> Result<(), Failed> {
        let now = Content::read(&self.files)?;
        if now.same(&self.shown) {
            return Ok(());
        }
        let options = EtcdOptions::new(self.endpoints.iter().cloned());
        self.store.reconfigure(options.with_tls(now.0.clone())).await?;
        self.shown = now;
        tracing::info!("etcd is shown another certificate, or others are trusted");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pki::{CertificateAuthority, ServerNames};

    use super::*;

    #[test]
    fn only_files_that_belong_together_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = EtcdFiles {
            certificate: path("c.pem"),
            key: path("c.key"),
            authorities: path("ca.pem"),
        };
        assert!(Content::read(&files).is_err());
        let now = jiff::Timestamp::now();
        let authority = CertificateAuthority::create("north", now).unwrap();
        let issue = || authority.issue_server("s1", &ServerNames::default(), now).unwrap();
        let (one, other) = (issue(), issue());
        authority.bundle().save(&files.authorities).unwrap();
        one.save(&files.certificate, &files.key).unwrap();
        let first = Content::read(&files).unwrap();
        assert!(first.same(&Content::read(&files).unwrap()));
        // Half of the next pair.
        std::fs::write(&files.certificate, other.certificate_pem()).unwrap();
        assert!(Content::read(&files).is_err());
        other.save(&files.certificate, &files.key).unwrap();
        assert!(!first.same(&Content::read(&files).unwrap()));
        one.save(&files.certificate, &files.key).unwrap();
        let another = CertificateAuthority::create("north", now).unwrap();
        another.bundle().save(&files.authorities).unwrap();
        assert!(!first.same(&Content::read(&files).unwrap()), "others are trusted");
    }
}
