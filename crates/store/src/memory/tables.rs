//! Keys and their versions in ordered maps. No locks, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use crate::evaluate::{PageBuilder, Tables};
use crate::hub::{Replay, ReplayPage};
use crate::{Event, Identity, KeyRange, KeyValue, LeaseId, Relist, Revision, StoreError};

pub(super) struct MemoryTables {
    pub(super) head: Revision,
    pub(super) compacted: Revision,
    pub(super) identity: Identity,
    pub(super) closed: bool,
    /// The keys of each living lease.
    pub(super) leases: BTreeMap<LeaseId, BTreeSet<Bytes>>,
    /// Made but not yet handed to watches.
    pub(super) pending: Vec<(Revision, Vec<Event>)>,
    last_lease: u64,
    /// The versions of each key, oldest first; a deletion is a tombstone.
    keys: BTreeMap<Bytes, Vec<KeyValue>>,
    /// The keys each revision changed, in order.
    log: BTreeMap<Revision, Vec<Bytes>>,
}

impl MemoryTables {
    pub(super) fn new() -> Self {
        Self {
            head: Revision::FIRST,
            compacted: Revision::ZERO,
            identity: Identity::fresh(),
            closed: false,
            leases: BTreeMap::new(),
            pending: Vec::new(),
            last_lease: 0,
            keys: BTreeMap::new(),
            log: BTreeMap::new(),
        }
    }

    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed { Err(StoreError::closed()) } else { Ok(()) }
    }

    /// The revision to read at, if it can be read.
    pub(super) fn readable(&self, at: Option<Revision>) -> Result<Revision, StoreError> {
        self.check_open()?;
        match at.filter(|at| *at != Revision::ZERO) {
            None => Ok(self.head),
            Some(at) if at > self.head => {
                Err(StoreError::FutureRevision { asked: at, current: self.head })
            }
            Some(at) if at < self.compacted => Err(self.gone()),
            Some(at) => Ok(at),
        }
    }

    fn gone(&self) -> StoreError {
        StoreError::Compacted { at: self.compacted, relist: Relist::History }
    }

    pub(super) fn get_at(&self, key: &[u8], at: Revision) -> Option<KeyValue> {
        version_at(self.keys.get(key)?, at).cloned()
    }

    pub(super) fn range_at(&self, range: &KeyRange, at: Revision, page: &mut PageBuilder) {
        if range.is_empty() {
            return;
        }
        let start = Bound::Included(&range.start[..]);
        let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        for versions in self.keys.range::<[u8], _>((start, end)).map(|(_, versions)| versions) {
            if let Some(kv) = version_at(versions, at)
                && !page.push(kv.clone())
            {
                return;
            }
        }
    }

    pub(super) fn replay(
        &self,
        range: &KeyRange,
        from: Revision,
        to: Revision,
    ) -> Result<Replay, StoreError> {
        if from < self.compacted {
            return Err(self.gone());
        }
        let mut page = ReplayPage::default();
        for (revision, keys) in self.log.range(from..=to) {
            for key in keys.iter().filter(|key| range.contains(key)) {
                if let Some(event) = self.event(key, *revision)
                    && !page.push(event)
                {
                    return page.finish(Some(*revision), to);
                }
            }
        }
        page.finish(None, to)
    }

    fn event(&self, key: &Bytes, revision: Revision) -> Option<Event> {
        let versions = self.keys.get(key)?;
        let index = versions.binary_search_by_key(&revision, |kv| kv.mod_revision).ok()?;
        // What came before the compacted revision is gone, whether or not a trace of it is left.
        let before = index.checked_sub(1).filter(|_| revision > self.compacted);
        let prev = before.map(|before| &versions[before]).filter(|kv| !kv.is_tombstone());
        Some(Event::new(versions[index].clone(), prev.cloned()))
    }

    pub(super) fn grant(&mut self) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, BTreeSet::new());
        id
    }

    pub(super) fn compact(&mut self, revision: Revision) -> Result<(), StoreError> {
        if revision > self.head {
            return Err(StoreError::FutureRevision { asked: revision, current: self.head });
        }
        if revision <= self.compacted {
            return Err(self.gone());
        }
        self.compacted = revision;
        self.log = self.log.split_off(&revision);
        self.keys.retain(|_, versions| {
            let kept = versions.partition_point(|kv| kv.mod_revision <= revision);
            let latest = kept.saturating_sub(1);
            let dead = kept > 0
                && versions[latest].is_tombstone()
                && versions[latest].mod_revision < revision;
            versions.drain(..if dead { kept } else { latest });
            !versions.is_empty()
        });
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.keys.values().flatten().map(|kv| kv.size() as u64).sum()
    }

    fn store(&mut self, event: &Event) {
        if let Some(lease) = event.prev.as_ref().and_then(|prev| prev.lease)
            && let Some(keys) = self.leases.get_mut(&lease)
        {
            keys.remove(&event.kv.key);
        }
        if let Some(keys) = event.kv.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            keys.insert(event.kv.key.clone());
        }
        self.keys.entry(event.kv.key.clone()).or_default().push(event.kv.clone());
        self.log.entry(event.kv.mod_revision).or_default().push(event.kv.key.clone());
    }
}

/// The newest of `versions` at a revision, unless the key was deleted then.
fn version_at(versions: &[KeyValue], at: Revision) -> Option<&KeyValue> {
    let after = versions.partition_point(|kv| kv.mod_revision <= at);
    versions[..after].last().filter(|kv| !kv.is_tombstone())
}

impl Tables for MemoryTables {
    fn revision(&self) -> Revision {
        self.head
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        Ok(self.get_at(key, self.head))
    }

    fn range(&mut self, range: &KeyRange, page: &mut PageBuilder) -> Result<(), StoreError> {
        self.range_at(range, self.head, page);
        Ok(())
    }

    fn has_lease(&mut self, id: LeaseId) -> Result<bool, StoreError> {
        Ok(self.leases.contains_key(&id))
    }

    fn leased(&mut self, id: LeaseId) -> Result<Vec<KeyValue>, StoreError> {
        let keys = self.leases.get(&id).into_iter().flatten();
        Ok(keys.filter_map(|key| self.get_at(key, self.head)).collect())
    }

    fn append(&mut self, events: Vec<Event>) -> Result<(), StoreError> {
        self.head = self.head.next();
        for event in &events {
            self.store(event);
        }
        self.pending.push((self.head, events));
        Ok(())
    }
}
