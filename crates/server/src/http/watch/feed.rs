//! From what the store tells to what a watcher hears. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use store::{EventKind, Revision, WatchBatch};

use super::instances::Instances;
use super::kinds::WatchKind;
use super::telling::Changed;

/// One watcher's translation.
#[derive(Debug)]
pub(super) struct Feed {
    kinds: BTreeSet<WatchKind>,
    instances: Option<Instances>,
    at: Revision,
}

impl Feed {
    pub(super) fn new(
        kinds: BTreeSet<WatchKind>,
        instances: Option<Instances>,
        at: Revision,
    ) -> Self {
        Self { kinds, instances, at }
    }

    /// The revision up to which all has been told.
    pub(super) fn at(&self) -> Revision {
        self.at
    }

    /// What a batch means to this watcher, as events; empty when it means nothing. The id stands
    /// with the last of them alone: who lost the connection before it hears the batch again.
    pub(super) fn tell(&mut self, batch: &WatchBatch) -> Bytes {
        self.at = self.at.max(batch.revision);
        let changes = self.changes(batch);
        let mut text = String::new();
        for (i, changed) in changes.iter().enumerate() {
            let name = if changed.object.is_some() { "put" } else { "delete" };
            let data = serde_json::to_string(changed).unwrap_or_default();
            let written = write!(text, "event: {name}\ndata: {data}\n");
            written.expect("writing into a text cannot fail");
            if i + 1 == changes.len() {
                let written = writeln!(text, "id: {}", batch.revision);
                written.expect("writing into a text cannot fail");
            }
            text.push('\n');
        }
        Bytes::from(text)
    }

    fn changes(&mut self, batch: &WatchBatch) -> Vec<Changed> {
        let revision = batch.revision.0;
        let mut changes = Vec::new();
        for event in &batch.events {
            let Ok(key) = std::str::from_utf8(&event.kv.key) else { continue };
            let Some((kind, name)) = WatchKind::of(key) else { continue };
            if !self.kinds.contains(&kind) {
                continue;
            }
            let deleted = event.kind == EventKind::Delete;
            let object = if deleted { None } else { kind.show(&event.kv) };
            if deleted || object.is_some() {
                changes.push(Changed { kind: kind.name(), name, revision, object });
            }
        }
        let instances = self.instances.iter_mut().flat_map(|known| known.take(&batch.events));
        changes.extend(instances.map(|(id, instance)| {
            let object = instance.and_then(|instance| serde_json::to_value(instance).ok());
            let kind = WatchKind::Instance.name();
            Changed { kind, name: id.to_string(), revision, object }
        }));
        changes
    }
}
