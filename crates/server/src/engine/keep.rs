//! Keeps a server and its etcd together while both run: its member gets its vote, the store is told
//! of other members and of a renewed certificate, and whoever leads keeps the etcd in good order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use store::etcd::EtcdAdmin;
use store::{EtcdOptions, EtcdStore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Endpoints, client, voters};
use super::membership::promote;
use super::options::Options;
use super::upkeep::Upkeep;

/// The file in the engine's directory that says where members were last seen.
const FILE: &str = "members.json";

/// How often the members and the certificate are looked at: one small request to one member.
const LOOK: Duration = Duration::from_secs(2);

/// How often a leader looks what there is to do.
const UPKEEP: Duration = Duration::from_secs(30);

/// How long a server waits for its member's vote by itself; later the leader gives it.
const PROMOTE_WITHIN: Duration = Duration::from_secs(60);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Where members were last seen; `first` when nothing was written down yet, or what was is none.
#[must_use]
pub(crate) fn last_seen(directory: &Path, first: &[String]) -> Vec<String> {
    let read = std::fs::read(directory.join(FILE)).ok();
    let seen = read.and_then(|text| serde_json::from_slice::<Vec<String>>(&text).ok());
    seen.filter(|seen| !seen.is_empty()).unwrap_or_else(|| first.to_vec())
}

/// A server and its etcd.
pub(crate) struct Keeper {
    options: Options,
    store: Arc<EtcdStore>,
    endpoints: Endpoints,
    /// The certificate that the store shows now, and the authorities that it trusts.
    certificate: (Vec<u8>, Vec<u8>),
}

impl Keeper {
    /// Over the store that uses `endpoints` and what the certificate's file says now.
    pub(crate) fn new(options: Options, store: Arc<EtcdStore>, endpoints: Endpoints) -> Self {
        let read = |path| std::fs::read(path).unwrap_or_default();
        let certificate = (read(&options.certificate), read(&options.authorities));
        Self { options, store, endpoints, certificate }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, leads: impl Fn() -> bool + Send, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep(leads) => {}
        }
    }

    async fn keep(&mut self, leads: impl Fn() -> bool + Send) {
        let member = self.options.name.clone();
        if let Err(error) = self.take_vote().await {
            tracing::warn!(member, error, "the server's etcd has no vote yet");
        }
        let mut looked_after = Instant::now();
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(member, error = %error, "look at the members of etcd");
            }
            if leads() && looked_after.elapsed() >= UPKEEP {
                looked_after = Instant::now();
                match self.upkeep().await {
                    Ok(None) => {}
                    Ok(Some(done)) => tracing::info!(done, "looked after etcd"),
                    Err(error) => tracing::warn!(error = %error, "look after etcd"),
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn take_vote(&self) -> Result<(), Failed> {
        Ok(promote(&self.admin().await?, &self.options, PROMOTE_WITHIN).await?)
    }

    async fn upkeep(&self) -> Result<Option<String>, Failed> {
        Ok(Upkeep::new(self.admin().await?).run().await?)
    }

    /// Tells the store what has changed.
    async fn look(&mut self) -> Result<(), Failed> {
        let known = self.endpoints.get();
        let seen = voters(&self.admin().await?.members().await?);
        let read = |path: &Path| std::fs::read(path);
        let certificate = (read(&self.options.certificate)?, read(&self.options.authorities)?);
        let members_changed = !seen.is_empty() && seen != known;
        if !members_changed && certificate == self.certificate {
            return Ok(());
        }
        let endpoints = if members_changed { seen } else { known };
        self.store.reconfigure(self.client(endpoints.clone())?).await?;
        self.certificate = certificate;
        if members_changed {
            tracing::info!(?endpoints, "the members of etcd are others");
            let text = serde_json::to_vec(&endpoints).expect("addresses are text");
            self.endpoints.set(endpoints);
            let path = self.options.directory.join(FILE);
            pki::write_atomic(&path, &text, pki::PRIVATE_MODE)?;
        }
        Ok(())
    }

    fn client(&self, endpoints: Vec<String>) -> Result<EtcdOptions, Failed> {
        Ok(client(&self.options, endpoints)?)
    }

    async fn admin(&self) -> Result<EtcdAdmin, Failed> {
        Ok(EtcdAdmin::new(self.client(self.endpoints.get())?).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_goes_before_what_was_said_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = ["https://10.0.0.1:2379".to_owned()];
        assert_eq!(last_seen(dir.path(), &first), first);
        for damaged in ["", "[]", "{", "7"] {
            std::fs::write(dir.path().join(FILE), damaged).unwrap();
            assert_eq!(last_seen(dir.path(), &first), first, "{damaged:?}");
        }
        std::fs::write(dir.path().join(FILE), r#"["https://10.0.0.2:2379"]"#).unwrap();
        assert_eq!(last_seen(dir.path(), &first), ["https://10.0.0.2:2379"]);
    }
}
