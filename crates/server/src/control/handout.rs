//! Hands documents to the agents whose streams this server holds, each whole, when it changed or
//! when they do not have it yet. Runs on every server: what the leader published comes from it,
//! all else from the view.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::assignment::Assignment;
use api::authority::Authorities;
use api::id::HostId;
use api::protocol::Down;
use async_trait::async_trait;
use store::Revision;
use tokio::sync::watch;

use super::driver::Controller;
use crate::core::{Core, Sent, Specs, View, serves_ingress};

/// A full look at everything even if nothing changes.
const PERIOD: Duration = Duration::from_secs(60);

/// Hands documents out.
pub(super) struct Handout {
    specs: Specs,
    changes: watch::Receiver<Revision>,
    arrivals: watch::Receiver<()>,
    published: watch::Receiver<()>,
    store: watch::Receiver<bool>,
    /// Hosts that are taken for dead.
    down: BTreeSet<HostId>,
}

impl Handout {
    pub(super) fn new(core: &Core) -> Self {
        Self {
            specs: Specs::default(),
            changes: core.cache.changes(),
            arrivals: core.agents.arrivals(),
            published: core.servers.published.changes(),
            store: core.servers.store_reachable(),
            down: BTreeSet::new(),
        }
    }

    /// A host that is taken for dead comes back by a new stream, on which it says anew what it
    /// runs: the silence of a dead one's stream would be noticed much later.
    fn part(&mut self, core: &Core, view: &View) {
        let down = view.hosts.values().filter(|row| row.is_down()).map(|row| row.name.clone());
        let down: BTreeSet<HostId> = down.collect();
        down.difference(&self.down).for_each(|host| core.agents.cut(host));
        self.down = down;
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
        if core.removed_host(&host).is_some() {
            // Told why when it comes back.
            core.agents.cut(&host);
            continue;
        }
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
        trust(core, view, &host, &sent);
        hand_vips(core, &host, &sent);
        hand_warm(core, &host, &sent);
        let serves = serves_ingress(view, &host);
        if sent.serves != Some(serves) {
            let down = Down::Serve { ingress: serves };
            core.agents.send(&host, &down, |sent| sent.serves = Some(serves));
        }
        let Some(tables) = &tables else { continue };
        let newly = serves && sent.serves != Some(true);
        if sent.tables == Some(tables.generation) && !newly {
            continue;
        }
        if serves {
            core.agents.send_encoded(&host, tables.ingress.clone(), |_| {});
        }
        let note = |sent: &mut Sent| sent.tables = Some(tables.generation);
        core.agents.send_encoded(&host, tables.network.clone(), note);
    }
}

/// Whom to trust, once that was ever changed.
fn trust(core: &Core, view: &View, host: &HostId, sent: &Sent) {
    let Some(row) = view.authority() else { return };
    let (generation, pem) = (row.generation, row.authorities_pem.clone());
    if sent.authorities != Some(generation) {
        let down = Down::Authorities(Authorities { generation, pem });
        core.agents.send(host, &down, |sent| sent.authorities = Some(generation));
    }
}

fn observe(core: &Core, host: &HostId, sent: &Sent) {
    let Some(observe) = core.servers.published.observe(host) else { return };
    let generation = Some(observe.generation);
    if sent.observe != generation {
        core.agents.send(host, &Down::Observe(observe), |sent| sent.observe = generation);
    }
}

/// What a host is to have ahead of need, and whom it may ask and answer.
fn hand_warm(core: &Core, host: &HostId, sent: &Sent) {
    let published = &core.servers.published;
    if published.warm_generation(host) == sent.warm {
        return;
    }
    let Some(warm) = published.warm(host) else { return };
    let generation = Some(warm.generation);
    core.agents.send(host, &Down::Warm(warm), |sent| sent.warm = generation);
}

/// Every host gets its part, which is empty for most: one that could hold an address before must
/// know that it cannot any more.
fn hand_vips(core: &Core, host: &HostId, sent: &Sent) {
    let published = &core.servers.published;
    if published.vips_generation().is_none_or(|newest| sent.vips == Some(newest)) {
        return;
    }
    let Some(table) = published.vips(host) else { return };
    let generation = Some(table.generation);
    core.agents.send(host, &Down::Vips(table), |sent| sent.vips = generation);
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
        self.part(core, &view);
        hand_tables(core, &view);
        self.assign(core, &view);
        Ok(String::new())
    }
}
