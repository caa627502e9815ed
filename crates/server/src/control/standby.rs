//! On the leader: which hosts have which images ahead of need, and who gives them to whom. Apart
//! from the planner, since nothing waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::id::{Generation, HostId};
use api::warm::Warm;
use async_trait::async_trait;
use plan::snapshot::{Place, Snapshot};
use plan::standby::{lists, standby};
use store::Revision;
use tokio::sync::watch;
use tokio::time::Instant;

use super::driver::Controller;
use crate::core::{Core, Specs, Term};

/// A full look at everything even if nothing changes.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks are at least so far apart: a cluster of 1,000,000 instances takes some seconds.
const APART: Duration = Duration::from_millis(500);

/// Of the time between looks, at most one part in so many is spent looking.
const SHARE: u32 = 10;

/// Keeps the lists.
pub(super) struct Warmth {
    term: Term,
    specs: Specs,
    changes: watch::Receiver<Revision>,
    reports: watch::Receiver<()>,
    generation: Generation,
    /// What each host was last given, by a digest of it.
    given: BTreeMap<HostId, (u64, Generation)>,
    pause: Duration,
    /// What the last lists were made from.
    seen: u64,
}

impl Warmth {
    pub(super) fn new(core: &Core, term: Term) -> Self {
        Self {
            specs: Specs::default(),
            changes: core.cache.changes(),
            reports: core.agents.gathered.changes(),
            generation: Generation(term.number << 32),
            given: BTreeMap::new(),
            pause: APART,
            seen: 0,
            term,
        }
    }

    /// Gives a list the generation it had, or a new one where it is another.
    fn date(&mut self, host: &HostId, list: &mut Warm) {
        let digest = digest(list);
        let known = self.given.get(host).filter(|(before, _)| *before == digest);
        list.generation = match known {
            Some((_, generation)) => *generation,
            None => {
                self.generation = self.generation.next();
                self.generation
            }
        };
        self.given.insert(host.clone(), (digest, list.generation));
    }
}

fn digest(list: &Warm) -> u64 {
    let mut hash = DefaultHasher::new();
    for image in &list.images {
        (&image.registry, &image.repository, &image.digest).hash(&mut hash);
    }
    for (image, sources) in &list.sources {
        image.hash(&mut hash);
        for source in sources {
            (&source.host, source.address).hash(&mut hash);
        }
    }
    list.askers.hash(&mut hash);
    hash.finish()
}

#[async_trait]
impl Controller for Warmth {
    fn name(&self) -> &'static str {
        "standby"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        // Both are cancel-safe: they only tell that something changed.
        tokio::select! {
            _ = self.changes.changed() => {}
            _ = self.reports.changed() => {}
        }
        tokio::time::sleep(self.pause).await;
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        self.changes.mark_unchanged();
        self.reports.mark_unchanged();
        let began = Instant::now();
        let view = core.view();
        let mut snapshot = core.snapshot(&view, &mut self.specs);
        for (host, liveness) in core.servers.believed().borrow().iter() {
            use api::liveness::Liveness;
            match liveness {
                Liveness::Suspect => snapshot.suspects.insert(host.clone()),
                Liveness::CutOff => snapshot.cut_off.insert(host.clone()),
                Liveness::Alive | Liveness::Down => false,
            };
        }
        let seen = basis(&snapshot);
        if seen == self.seen {
            return Ok(String::new());
        }
        self.seen = seen;
        let port = core.servers.probe_port;
        let work = move || {
            let found = standby(&snapshot);
            let lists = lists(&snapshot, &found, port);
            (found, lists)
        };
        let (found, mut lists) = core.driver.compute(work).await?;
        for (host, list) in &mut lists {
            self.date(host, list);
        }
        self.given.retain(|host, _| lists.contains_key(host));
        let images: usize = lists.values().map(|list| list.images.len()).sum();
        let hosts = lists.values().filter(|list| !list.images.is_empty()).count();
        core.servers.published.lead_warm(&core.agents.gathered, self.term.number, lists);
        self.pause = APART.max(began.elapsed() * SHARE);
        let mut done = format!("{images} images ahead of need on {hosts} hosts");
        let names = |places: &BTreeSet<Place>| {
            let names: Vec<String> =
                places.iter().map(|(e, app)| format!("{app} in {e}")).collect();
            names.join(", ")
        };
        if !found.homeless.is_empty() {
            done.push_str("; no other host has room for all of: ");
            done.push_str(&names(&found.homeless));
        }
        if !found.cramped.is_empty() {
            done.push_str("; no disk for images of: ");
            done.push_str(&names(&found.cramped));
        }
        Ok(done)
    }
}

/// What lists follow from: everything but how instances do.
fn basis(snapshot: &Snapshot) -> u64 {
    let mut hash = DefaultHasher::new();
    for host in snapshot.hosts.values() {
        (&host.name, &host.domain, &host.labels, host.address).hash(&mut hash);
        (host.state, host.is_down(), snapshot.is_reachable(&host.name)).hash(&mut hash);
    }
    for assignment in snapshot.assignments.values() {
        (&assignment.host, assignment.generation).hash(&mut hash);
    }
    for status in snapshot.statuses.values() {
        (&status.host, &status.images, status.capacity.disk).hash(&mut hash);
    }
    for (place, deployment) in &snapshot.deployments {
        (place, deployment.wanted_release(), deployment.last_good).hash(&mut hash);
    }
    for stage in snapshot.environments.values() {
        (&stage.name, stage.order, &stage.host_labels).hash(&mut hash);
    }
    for (key, image) in &snapshot.images {
        (key, &image.digest, snapshot.image_sizes.get(&image.digest)).hash(&mut hash);
    }
    hash.finish()
}
