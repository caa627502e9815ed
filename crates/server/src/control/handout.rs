//! Hands documents to the agents whose streams this server holds, each whole, when it changed or
//! when they do not have it yet. Runs on every server: what the leader published comes from it,
//! all else from the view.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::assignment::Assignment;
use api::id::HostId;
use api::protocol::Down;
use async_trait::async_trait;
use store::Revision;
use tokio::sync::watch;

use super::driver::Controller;
use crate::core::{Core, Sent, Specs, View};

/// A full look at everything even if nothing changes.
const PERIOD: Duration = Duration::from_secs(60);

/// Hands documents out.
pub(super) struct Handout {
    specs: Specs,
    changes: watch::Receiver<Revision>,
    arrivals: watch::Receiver<()>,
    published: watch::Receiver<()>,
    store: watch::Receiver<bool>,
}

impl Handout {
    pub(super) fn new(core: &Core) -> Self {
        Self {
            specs: Specs::default(),
            changes: core.cache.changes(),
            arrivals: core.agents.arrivals(),
            published: core.servers.published.changes(),
            store: core.servers.store_reachable(),
        }
    }

    fn assign(&mut self, core: &Core, view: &View) {
        let specs = self.specs.needed(view);
        for (host, sent) in core.agents.sent() {
            let row = view.assignments.get(host.as_str());
            let empty = || Assignment::empty(host.clone());
            let assignment = row.map_or_else(empty, |row| row.document.body.clone());
            let (workloads, digest) = core.workloads(view, &assignment, &specs);
            let key = Some((assignment.generation, digest));
            if sent.assignment != key {
                let down = Down::Assignment { assignment, workloads };
                core.agents.send(&host, &down, |sent| sent.assignment = key);
            }
        }
    }
}

/// What all agents get alike.
fn hand_tables(core: &Core, view: &View) {
    let (registries, digest) = core.registries(view);
    let tables = core.servers.published.tables();
    let (servers, servers_digest) = addresses(view);
    let reachable = *core.servers.store_reachable().borrow();
    for (host, sent) in core.agents.sent() {
        if sent.store != Some(reachable) {
            core.agents.send(&host, &Down::Store { reachable }, |s| s.store = Some(reachable));
        }
        if sent.servers != Some(servers_digest) && !servers.is_empty() {
            let down = Down::Servers { servers: servers.clone() };
            core.agents.send(&host, &down, |sent| sent.servers = Some(servers_digest));
        }
        if sent.registries != Some(digest) {
            let down = Down::Registries { registries: registries.clone() };
            core.agents.send(&host, &down, |sent| sent.registries = Some(digest));
        }
        observe(core, &host, &sent);
        let Some(tables) = &tables else { continue };
        if sent.tables == Some(tables.generation) {
            continue;
        }
        if serves_ingress(view, &host) {
            core.agents.send_encoded(&host, tables.ingress.clone(), |_| {});
        }
        let note = |sent: &mut Sent| sent.tables = Some(tables.generation);
        core.agents.send_encoded(&host, tables.network.clone(), note);
    }
}

fn observe(core: &Core, host: &HostId, sent: &Sent) {
    let Some(observe) = core.servers.published.observe(host) else { return };
    let generation = Some(observe.generation);
    if sent.observe != generation {
        core.agents.send(host, &Down::Observe(observe), |sent| sent.observe = generation);
    }
}

fn serves_ingress(view: &View, host: &HostId) -> bool {
    let labels = view.hosts.get(host.as_str()).map(|host| &host.labels);
    labels.and_then(|labels| labels.get("ingress")).is_some_and(|label| label == "true")
}

/// The servers' addresses, sorted, and a digest of them.
fn addresses(view: &View) -> (Vec<String>, u64) {
    let mut servers: Vec<String> = view.servers.values().map(|row| row.address.clone()).collect();
    servers.sort();
    servers.dedup();
    let mut digest = DefaultHasher::new();
    servers.hash(&mut digest);
    (servers, digest.finish())
}

#[async_trait]
impl Controller for Handout {
    fn name(&self) -> &'static str {
        "handout"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        // All are cancel-safe: they only tell that something changed.
        tokio::select! {
            _ = self.changes.changed() => {}
            _ = self.arrivals.changed() => {}
            _ = self.published.changed() => {}
            _ = self.store.changed() => {}
        }
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        let view = core.view();
        hand_tables(core, &view);
        self.assign(core, &view);
        Ok(String::new())
    }
}
