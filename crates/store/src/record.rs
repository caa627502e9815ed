//! What a store holds and what it reports: key-values and events. Plain values, no behaviour.

use bytes::Bytes;

use crate::{LeaseId, Revision};

/// One key as it stood at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key, never empty.
    pub key: Bytes,
    /// The value; empty in a delete event.
    pub value: Bytes,
    /// The revision that made the key; zero in a delete event.
    pub create_revision: Revision,
    /// The revision that wrote this value, or that deleted the key.
    pub mod_revision: Revision,
    /// How often the key was written since it was made, from 1; zero in a delete event.
    pub version: u64,
    /// The lease the key goes with, if any.
    pub lease: Option<LeaseId>,
}

impl KeyValue {
    /// What a delete event carries: the key and the revision, nothing else.
    #[must_use]
    pub(crate) fn tombstone(key: Bytes, revision: Revision) -> Self {
        Self {
            key,
            value: Bytes::new(),
            create_revision: Revision::ZERO,
            mod_revision: revision,
            version: 0,
            lease: None,
        }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// Whether an event wrote or removed its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was written.
    Put,
    /// The key was removed: by a transaction, a revoked lease or an expired one.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Written or removed.
    pub kind: EventKind,
    /// The key after the change.
    pub kv: KeyValue,
    /// The key before the change; absent when it did not exist, or when the revision before the
    /// event has been compacted.
    pub prev: Option<KeyValue>,
}

impl Event {
    pub(crate) fn new(kv: KeyValue, prev: Option<KeyValue>) -> Self {
        let kind = if kv.is_tombstone() { EventKind::Delete } else { EventKind::Put };
        Self { kind, kv, prev }
    }

    /// Bytes of the keys and values it carries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.kv.size() + self.prev.as_ref().map_or(0, KeyValue::size)
    }
}
