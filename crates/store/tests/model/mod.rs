//! A store as naive as can be: a full copy of all keys for every revision.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use store::{
    Compare, Event, EventKind, KeyRange, KeyValue, LeaseId, Op, OpResult, Relation, Relist,
    Revision, StoreError, Target, Txn, TxnAnswer, limits,
};

pub(crate) type State = BTreeMap<Bytes, KeyValue>;

pub(crate) struct Model {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    states: BTreeMap<Revision, State>,
    /// In the order the operations made them.
    changed: BTreeMap<Revision, Vec<Bytes>>,
    leases: BTreeSet<LeaseId>,
    last_lease: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            revision: Revision(1),
            compacted: Revision(0),
            states: BTreeMap::from([(Revision(1), State::new())]),
            changed: BTreeMap::new(),
            leases: BTreeSet::new(),
            last_lease: 0,
        }
    }
}

pub(crate) fn page(state: &State, range: &KeyRange, limit: usize) -> (Vec<KeyValue>, bool) {
    let all: Vec<_> = state.values().filter(|kv| range.contains(&kv.key)).cloned().collect();
    let limit = if limit == 0 { all.len() } else { limit };
    (all.iter().take(limit).cloned().collect(), all.len() > limit)
}

impl Model {
    fn now(&self) -> &State {
        &self.states[&self.revision]
    }

    fn gone(&self) -> StoreError {
        StoreError::Compacted { at: self.compacted, relist: Relist::History }
    }

    pub(crate) fn at(&self, at: u64) -> Result<&State, StoreError> {
        let at = if at == 0 { self.revision } else { Revision(at) };
        if at > self.revision {
            return Err(StoreError::FutureRevision { asked: at, current: self.revision });
        }
        if at < self.compacted { Err(self.gone()) } else { Ok(&self.states[&at]) }
    }

    pub(crate) fn compact(&mut self, at: Revision) -> Result<(), StoreError> {
        if at > self.revision {
            return Err(StoreError::FutureRevision { asked: at, current: self.revision });
        }
        if at <= self.compacted {
            return Err(self.gone());
        }
        self.compacted = at;
        Ok(())
    }

    pub(crate) fn grant(&mut self) -> LeaseId {
        self.last_lease += 1;
        self.leases.insert(LeaseId(self.last_lease));
        LeaseId(self.last_lease)
    }

    pub(crate) fn revoke(&mut self, id: LeaseId) -> Result<Revision, StoreError> {
        if !self.leases.remove(&id) {
            return Err(StoreError::LeaseNotFound(id));
        }
        let mut state = self.now().clone();
        let keys: Vec<_> =
            state.values().filter(|kv| kv.lease == Some(id)).map(|kv| kv.key.clone()).collect();
        state.retain(|_, kv| kv.lease != Some(id));
        self.commit(state, keys);
        Ok(self.revision)
    }

    fn commit(&mut self, state: State, changed: Vec<Bytes>) {
        if !changed.is_empty() {
            self.revision = self.revision.next();
            self.states.insert(self.revision, state);
            self.changed.insert(self.revision, changed);
        }
    }

    pub(crate) fn txn(&mut self, txn: &Txn) -> Result<TxnAnswer, StoreError> {
        limits::check_txn(txn)?;
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        for op in ops {
            if let Op::Put { lease: Some(id), .. } = op
                && !self.leases.contains(id)
            {
                return Err(StoreError::LeaseNotFound(*id));
            }
        }
        let (mut state, mut changed, mut results) = (self.now().clone(), Vec::new(), Vec::new());
        for op in ops {
            results.push(apply(&mut state, &mut changed, self.revision.next(), op));
        }
        self.commit(state, changed);
        Ok(TxnAnswer { succeeded, revision: self.revision, results })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kv = self.now().get(&compare.key);
        let number = |there: u64, given: u64| (there as i64 - given as i64).signum();
        let order = match &compare.target {
            Target::ModRevision(rev) => number(kv.map_or(0, |kv| kv.mod_revision.0), rev.0),
            Target::CreateRevision(rev) => number(kv.map_or(0, |kv| kv.create_revision.0), rev.0),
            Target::Version(version) => number(kv.map_or(0, |kv| kv.version), *version),
            Target::Value(value) => match kv {
                None => return false,
                Some(kv) if kv.value > *value => 1,
                Some(kv) if kv.value < *value => -1,
                Some(_) => 0,
            },
        };
        match compare.relation {
            Relation::Equal => order == 0,
            Relation::NotEqual => order != 0,
            Relation::Greater => order > 0,
            Relation::Less => order < 0,
        }
    }

    pub(crate) fn watched(&self, from: Revision) -> Result<String, StoreError> {
        let from = from.max(Revision(1));
        if from < self.compacted {
            return Err(self.gone());
        }
        let mut seen = String::new();
        for (revision, keys) in self.changed.range(from..) {
            let before = &self.states[&Revision(revision.0 - 1)];
            for key in keys {
                let prev = before.get(key).filter(|_| *revision > self.compacted).cloned();
                let event = match self.states[revision].get(key) {
                    Some(kv) => Event { kind: EventKind::Put, kv: kv.clone(), prev },
                    None => Event { kind: EventKind::Delete, kv: tombstone(key, *revision), prev },
                };
                seen.push_str(&format!("{event:?}\n"));
            }
        }
        Ok(seen)
    }
}

fn tombstone(key: &Bytes, mod_revision: Revision) -> KeyValue {
    let (key, value, create_revision) = (key.clone(), Bytes::new(), Revision(0));
    KeyValue { key, value, create_revision, mod_revision, version: 0, lease: None }
}

fn apply(state: &mut State, changed: &mut Vec<Bytes>, revision: Revision, op: &Op) -> OpResult {
    match op {
        Op::Put { key, value, lease } => {
            let prev = state.get(key).cloned();
            let kv = KeyValue {
                key: key.clone(),
                value: value.clone(),
                create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
                mod_revision: revision,
                version: prev.as_ref().map_or(1, |prev| prev.version + 1),
                lease: *lease,
            };
            state.insert(key.clone(), kv);
            changed.push(key.clone());
            OpResult::Put { prev }
        }
        Op::Delete(key) => {
            let prev: Vec<_> = state.remove(key).into_iter().collect();
            changed.extend(prev.iter().map(|kv| kv.key.clone()));
            OpResult::Deleted { prev }
        }
        Op::DeleteRange(range) => {
            let (prev, _) = page(state, range, 0);
            state.retain(|key, _| !range.contains(key));
            changed.extend(prev.iter().map(|kv| kv.key.clone()));
            OpResult::Deleted { prev }
        }
        Op::Get(key) => OpResult::Got(state.get(key).cloned()),
        Op::Range { range, limit } => {
            let (kvs, more) = page(state, range, *limit);
            OpResult::Page { kvs, more }
        }
    }
}
