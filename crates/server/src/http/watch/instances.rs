//! Instances as a watch tells them: the join of assignments and statuses as they stood at the
//! watch's revision, carried on by what the store tells. Pure but for its beginning.

use std::collections::{BTreeMap, BTreeSet};

use api::assignment::Assignment;
use api::host::Host;
use api::id::InstanceId;
use api::instance::Instance;
use api::status::HostStatus;
use store::{Event, EventKind, KeyRange, KeyValue, Revision, Store, StoreError};

use super::kinds::read;
use crate::core::Kind;

/// An instance that changed; none when it is gone.
pub(super) type ChangedInstance = (InstanceId, Option<Instance>);

/// All instances at one revision.
#[derive(Debug, Default)]
pub(super) struct Instances {
    hosts: BTreeMap<String, Host>,
    assignments: BTreeMap<String, Assignment>,
    statuses: BTreeMap<String, HostStatus>,
    shown: BTreeMap<String, BTreeMap<InstanceId, Instance>>,
}

impl Instances {
    /// Reads them as they stood at a revision.
    ///
    /// # Errors
    /// What the store answers; that must be listed again when the revision is compacted.
    pub(super) async fn at(store: &dyn Store, revision: Revision) -> Result<Self, StoreError> {
        let mut instances = Self::default();
        for prefix in [Host::PREFIX, Assignment::PREFIX, HostStatus::PREFIX] {
            let mut range = KeyRange::prefix(prefix);
            loop {
                let page = store.range(&range, 0, Some(revision)).await?;
                for kv in &page.kvs {
                    instances.put(kv, false);
                }
                match page.kvs.last() {
                    Some(last) if page.more => range = range.after(&last.key),
                    _ => break,
                }
            }
        }
        let hosts: Vec<String> = instances.assignments.keys().cloned().collect();
        for host in hosts {
            instances.redraw(&host);
        }
        Ok(instances)
    }

    /// Takes over what changed at one revision; gives the instances that are different for it.
    pub(super) fn take(&mut self, events: &[Event]) -> Vec<ChangedInstance> {
        let touched: BTreeSet<String> = events
            .iter()
            .filter_map(|event| self.put(&event.kv, event.kind == EventKind::Delete))
            .collect();
        touched.iter().flat_map(|host| self.redraw(host)).collect()
    }

    /// Takes over a document; gives the host it is about.
    fn put(&mut self, kv: &KeyValue, deleted: bool) -> Option<String> {
        let key = std::str::from_utf8(&kv.key).ok()?;
        if let Some(host) = key.strip_prefix(Host::PREFIX) {
            replace(&mut self.hosts, host, kv, deleted);
            return Some(host.to_owned());
        }
        if let Some(host) = key.strip_prefix(Assignment::PREFIX) {
            replace(&mut self.assignments, host, kv, deleted);
            return Some(host.to_owned());
        }
        let host = key.strip_prefix(HostStatus::PREFIX)?;
        replace(&mut self.statuses, host, kv, deleted);
        Some(host.to_owned())
    }

    /// Joins a host's instances anew; gives those that are different.
    fn redraw(&mut self, host: &str) -> Vec<ChangedInstance> {
        let now = self.join(host);
        let before = self.shown.remove(host).unwrap_or_default();
        let mut changed: Vec<ChangedInstance> = now
            .iter()
            .filter(|(id, instance)| before.get(*id) != Some(*instance))
            .map(|(id, instance)| (id.clone(), Some(instance.clone())))
            .collect();
        let gone = before.into_keys().filter(|id| !now.contains_key(id));
        changed.extend(gone.map(|id| (id, None)));
        if !now.is_empty() {
            self.shown.insert(host.to_owned(), now);
        }
        changed
    }

    fn join(&self, host: &str) -> BTreeMap<InstanceId, Instance> {
        let (Some(assignment), Some(document)) = (self.assignments.get(host), self.hosts.get(host))
        else {
            return BTreeMap::new();
        };
        let status = self.statuses.get(host);
        let instances = assignment.entries.iter().map(|entry| {
            let reported = status.and_then(|status| {
                status.instances.iter().find(|reported| reported.instance == entry.instance)
            });
            (entry.instance.clone(), Instance::join(document, entry, reported))
        });
        instances.collect()
    }
}

fn replace<K: Kind>(table: &mut BTreeMap<String, K>, host: &str, kv: &KeyValue, deleted: bool) {
    if deleted {
        table.remove(host);
    } else if let Some(document) = read(kv) {
        table.insert(host.to_owned(), document);
    }
}
