//! From the view and the agents' reports to what the planner sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::id::{AppName, EnvironmentName, HostId, ReleaseNumber};
use api::manifest::Spec;
use api::status::HostStatus;
use api::time::Timestamp;
use api::unit::Bytes;
use plan::report::AppReport;
use plan::snapshot::Snapshot;
use store::Revision;

use super::{Core, View, image_name};

/// Manifests resolved for environments, kept as long as they are needed.
#[derive(Debug, Default)]
pub struct Specs {
    /// Each with the revision of the release that it is of: one that was removed and one that was
    /// made later may have the same number.
    known: BTreeMap<SpecKey, (Revision, Arc<Spec>)>,
}

/// What the planner said last, for `status`.
#[derive(Debug, Clone, Default)]
pub struct Planning {
    /// Why each app is as it is.
    pub report: Vec<AppReport>,
    /// Hosts that do not take the tables they are sent, and since when.
    pub laggards: Vec<(HostId, Timestamp)>,
    /// When that was.
    pub at: Timestamp,
}

impl Specs {
    /// The specs of every release that is wanted, good or assigned.
    pub fn needed(&mut self, view: &View) -> BTreeMap<SpecKey, Arc<Spec>> {
        let mut needed = BTreeSet::new();
        for deployment in view.deployments.values() {
            let releases = [Some(deployment.release), deployment.last_good];
            for release in releases.into_iter().flatten() {
                let (environment, app) = (deployment.environment.clone(), deployment.app.clone());
                needed.insert((environment, app, release));
            }
        }
        for assignment in view.assignments.values() {
            for entry in &assignment.entries {
                needed.insert((entry.environment.clone(), entry.app.clone(), entry.release));
            }
        }
        let revision = |key: &SpecKey| view.release(&key.1, key.2).map(|row| row.revision);
        self.known.retain(|key, (known, _)| {
            needed.contains(key) && revision(key).is_none_or(|revision| revision == *known)
        });
        for key in needed {
            if !self.known.contains_key(&key)
                && let Some(revision) = revision(&key)
                && let Some(spec) = resolve(view, &key)
            {
                self.known.insert(key, (revision, Arc::new(spec)));
            }
        }
        self.known.iter().map(|(key, (_, spec))| (key.clone(), spec.clone())).collect()
    }
}

/// A release in an environment.
pub type SpecKey = (EnvironmentName, AppName, ReleaseNumber);

fn resolve(view: &View, (environment, app, release): &SpecKey) -> Option<Spec> {
    let release = view.release(app, *release)?;
    match release.manifest.resolve(environment) {
        Ok(spec) => Some(spec),
        Err(problems) => {
            let release = release.key();
            tracing::error!(%release, %environment, ?problems, "resolve a stored manifest");
            None
        }
    }
}

impl Core {
    /// The cluster as the planner sees it, without who is in service: that is the caller's to add.
    #[must_use]
    pub fn snapshot(&self, view: &View, specs: &mut Specs) -> Snapshot {
        let mut snapshot = Snapshot::empty();
        snapshot.service_range = self.service_range;
        snapshot.specs = specs.needed(view);
        for (_, app, number) in snapshot.specs.keys() {
            let Some(release) = view.release(app, *number) else { continue };
            let image = release.image.clone();
            let name = image_name(&image.repository, image.digest.as_str());
            if let Some(known) = view.images.get(&name).filter(|_| image.registry.is_none()) {
                snapshot.image_sizes.insert(image.digest.clone(), Bytes(known.size));
            }
            snapshot.images.insert((app.clone(), *number), image);
        }
        for row in view.environments.values() {
            snapshot.environments.insert(row.name.clone(), row.document.body.clone());
        }
        for row in view.hosts.values() {
            snapshot.hosts.insert(row.name.clone(), row.document.body.clone());
        }
        for row in view.assignments.values() {
            snapshot.assignments.insert(row.host.clone(), row.document.body.clone());
        }
        for row in view.statuses.values() {
            snapshot.statuses.insert(row.host.clone(), row.document.body.clone());
        }
        for (host, status) in self.agents.gathered.statuses() {
            snapshot.statuses.insert(host, HostStatus::clone(&status));
        }
        for row in view.deployments.values() {
            let place = (row.environment.clone(), row.app.clone());
            snapshot.deployments.insert(place, row.document.body.clone());
        }
        for row in view.services.values() {
            let place = (row.environment.clone(), row.app.clone());
            snapshot.services.insert(place, row.address);
        }
        snapshot
    }
}
