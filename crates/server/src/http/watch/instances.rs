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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;
    use store::document::Document;

    use super::*;

    fn kv<K: Kind>(value: serde_json::Value) -> KeyValue {
        let body: K = serde_json::from_value(value).unwrap();
        let key = Bytes::from(body.key());
        let value = Document::new(&K::SCHEMA, body).encode(&K::SCHEMA).unwrap();
        let revision = Revision(1);
        KeyValue {
            key,
            value,
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: None,
        }
    }

    fn id(number: u8) -> String {
        format!("shop-staging-{number}")
    }

    /// A document of one of two hosts: the host itself, an assignment or a status of some
    /// instances, written or removed.
    fn event() -> impl Strategy<Value = Event> {
        let instances = prop::collection::btree_set(0_u8..4, 0..4);
        (0_u8..3, 0_u8..2, instances, any::<bool>(), 0_u32..3).prop_map(
            |(kind, host, instances, deleted, pid)| {
                let host = format!("h{host}");
                let kv = match kind {
                    0 => kv::<Host>(json!({
                        "name": host, "domain": format!("rack-{pid}"), "subnet": "10.1.0.0/24",
                        "address": "127.0.0.1", "state": "ready",
                        "joined": "2026-01-01T00:00:00Z",
                    })),
                    1 => kv::<Assignment>(json!({
                        "host": host, "generation": 1,
                        "entries": instances.iter().map(|number| json!({
                            "instance": id(*number), "app": "shop", "environment": "staging",
                            "release": 1, "wanted": "run", "address": "10.1.0.2",
                        })).collect::<Vec<_>>(),
                    })),
                    _ => kv::<HostStatus>(json!({
                        "host": host, "generation": 1, "version": "1",
                        "capacity": api::host::Capacity::default(),
                        "instances": instances.iter().map(|number| json!({
                            "instance": id(*number), "state": "healthy", "pid": pid,
                            "since": "2026-01-01T00:00:00Z",
                        })).collect::<Vec<_>>(),
                    })),
                };
                let kind = if deleted { EventKind::Delete } else { EventKind::Put };
                Event { kind, kv, prev: None }
            },
        )
    }

    proptest! {
        /// Who hears every change knows what there is, host by host, and hears of nothing twice.
        #[test]
        fn what_is_told_adds_up_to_what_there_is(
            batches in prop::collection::vec(prop::collection::vec(event(), 1..4), 1..12),
        ) {
            let mut instances = Instances::default();
            let mut heard: BTreeMap<(String, InstanceId), Instance> = BTreeMap::new();
            for batch in batches {
                for event in &batch {
                    // One host at a time, so that it is known whose instance is told.
                    for (id, instance) in instances.take(std::slice::from_ref(event)) {
                        let key = std::str::from_utf8(&event.kv.key).unwrap();
                        let place = (key.rsplit('/').next().unwrap().to_owned(), id);
                        let before = heard.remove(&place);
                        prop_assert_ne!(&before, &instance, "told, and not different");
                        if let Some(instance) = instance {
                            heard.insert(place, instance);
                        }
                    }
                }
                for host in ["h0", "h1"] {
                    let there = instances.join(host);
                    let told: BTreeMap<InstanceId, Instance> = heard
                        .iter()
                        .filter(|((at, _), _)| at == host)
                        .map(|((_, id), instance)| (id.clone(), instance.clone()))
                        .collect();
                    prop_assert_eq!(told, there);
                }
            }
        }
    }
}
