//! On the leader: sees to it that every image that a deployment names is whole on two servers that
//! stand apart, one copy at a time.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::id::ServerId;
use async_trait::async_trait;
use image::Digest;

use super::cluster::Shared;
use super::domains::{apart, domain_by_name, farthest};
use super::peers::{Named, Take};
use crate::control::Controller;
use crate::core::{Core, View};
use crate::oci::Wanted;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(10);

/// Images copied in one look; the next goes on.
const AT_ONCE: usize = 16;

/// How often it looks whether servers or deployments changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Keeps two copies of images that deployments name.
pub struct Repair {
    shared: Arc<Shared>,
    /// What the last look was based on.
    seen: u64,
}

impl Repair {
    /// One that acts while its server leads.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, seen: 0 }
    }

    /// What the need for copies follows from: who leads, who is reachable, and what is named.
    fn basis(&self, core: &Core) -> u64 {
        let mut hash = DefaultHasher::new();
        core.servers.term().map(|term| term.number).hash(&mut hash);
        self.shared.peers.reachable().hash(&mut hash);
        for digest in named(&core.view()) {
            digest.as_bytes().hash(&mut hash);
        }
        hash.finish()
    }

    /// The servers that have all of `content`.
    async fn holders(&self, content: &[Wanted]) -> Result<Vec<ServerId>, String> {
        let mut holders = Vec::new();
        let here = self.shared.registry.lacking(content.to_vec()).await;
        if here.map_err(|error| error.to_string())?.is_empty() {
            holders.push(self.shared.core.servers.me.clone());
        }
        for server in self.shared.peers.reachable() {
            match self.shared.peers.lacking(&server, content).await {
                Ok(lacking) if lacking.is_empty() => holders.push(server),
                Ok(_) => {}
                Err(error) => tracing::info!(%server, %error, "ask what a server has"),
            }
        }
        Ok(holders)
    }

    /// Copies an image where it has too few holders; says to which server.
    async fn mend(&self, view: &View, digest: &Digest) -> Result<Option<ServerId>, String> {
        let needs = self.shared.registry.needs(vec![*digest]).await;
        let needs = needs.map_err(|error| error.to_string())?;
        if needs.is_empty() {
            return Err(format!("the manifest of image {digest} is on no server"));
        }
        let holders = self.holders(&needs).await?;
        let me = self.shared.core.servers.me.clone();
        let mut reachable = self.shared.peers.reachable();
        reachable.push(me.clone());
        let Some(first) = holders.first() else {
            if reachable.len() < view.servers.len() {
                return Err(format!("image {digest} is whole on no server that is reachable"));
            }
            return Err(format!("image {digest} is whole on no server; hint: push it again"));
        };
        let domain = domain_by_name(view, first);
        let is_apart = |server: &ServerId| apart(&domain, &domain_by_name(view, server));
        let far = reachable.iter().any(|server| server != first && is_apart(server));
        let enough = match far {
            true => holders.iter().any(|server| server != first && is_apart(server)),
            false => holders.len() > 1,
        };
        if enough || reachable.len() < 2 {
            return Ok(None);
        }
        reachable.retain(|server| !holders.contains(server));
        let ranked = farthest(view, &domain, reachable, &digest.to_string());
        let Some(target) = ranked.into_iter().next() else { return Ok(None) };
        if target == me {
            let taken = self.shared.registry.take_over(needs, &holders).await;
            taken.map_err(|error| error.to_string())?;
        } else {
            let take = Take { content: Named::all(&needs), from: holders };
            self.shared.peers.take(&target, &take).await.map_err(|error| error.to_string())?;
        }
        Ok(Some(target))
    }
}

/// The images of the cluster's registry that deployments name.
fn named(view: &View) -> BTreeSet<Digest> {
    let deployments = view.deployments.values();
    let releases = deployments.flat_map(|row| {
        let numbers = [Some(row.release), row.last_good, row.previous_good];
        numbers.into_iter().flatten().filter_map(|number| view.release(&row.app, number))
    });
    let own = releases.filter(|release| release.image.registry.is_none());
    own.filter_map(|release| release.image.digest.as_str().parse().ok()).collect()
}

#[async_trait]
impl Controller for Repair {
    fn name(&self) -> &'static str {
        "image-copies"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, core: &Core) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.basis(core) != self.seen {
                return;
            }
        }
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        let view = core.view();
        self.seen = self.basis(core);
        if core.servers.term().is_none() || view.servers.len() < 2 {
            return Ok(String::new());
        }
        let (mut copied, mut failures) = (Vec::new(), Vec::new());
        for digest in named(&view) {
            if copied.len() == AT_ONCE || core.servers.term().is_none() {
                break;
            }
            match self.mend(&view, &digest).await {
                Ok(None) => {}
                Ok(Some(server)) => {
                    let message = format!("image {digest} was copied to server {server}");
                    core.events.record(Event {
                        at: core.now(),
                        kind: "image.copied".into(),
                        app: None,
                        environment: None,
                        release: None,
                        instance: None,
                        host: None,
                        message: message.clone(),
                    });
                    copied.push(message);
                }
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() { Ok(copied.join("; ")) } else { Err(failures.join("; ")) }
    }
}
