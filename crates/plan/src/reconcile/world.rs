//! The assignments while a plan is made: what the snapshot has, with the plan's changes on top.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use api::assignment::{Assignment, Entry, Wanted};
use api::digest::Digest;
use api::host::{Capacity, HostState};
use api::id::{HostId, InstanceId};
use api::status::InstanceState;
use api::time::Timestamp;

use crate::address;
use crate::place::{Need, Pool};
use crate::snapshot::{Place, Snapshot};

/// Assignments under change, and what is free on hosts.
pub(super) struct World<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    assignments: BTreeMap<HostId, Assignment>,
    /// Hosts whose assignment changed, and whether an instance was added.
    changed: BTreeMap<HostId, bool>,
    homes: BTreeMap<InstanceId, HostId>,
    by_place: BTreeMap<Place, BTreeSet<InstanceId>>,
    numbers: BTreeMap<Place, u32>,
    pub(super) pool: Pool,
    /// Which hosts have which image; made when it is first asked for.
    holders: OnceCell<HashMap<&'a Digest, Vec<&'a HostId>>>,
    /// In safe mode, how many lost instances may still be replaced.
    pub(super) budget: Option<u32>,
}

impl<'a> World<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, now: Timestamp) -> Self {
        // A host that can't be told anything takes nothing.
        let capacity = |host: &HostId| match snapshot.is_reachable(host) {
            true => snapshot.capacity(host),
            false => Capacity::default(),
        };
        let hosts = snapshot.hosts.values().map(|host| (host, capacity(&host.name)));
        let mut world = Self {
            snapshot,
            now,
            assignments: snapshot.assignments.clone(),
            changed: BTreeMap::new(),
            homes: BTreeMap::new(),
            by_place: BTreeMap::new(),
            numbers: BTreeMap::new(),
            pool: Pool::new(hosts),
            holders: OnceCell::new(),
            budget: snapshot.safe_mode,
        };
        let places = snapshot.deployments.keys().cloned();
        let assigned = snapshot.entries().map(|(_, e)| (e.environment.clone(), e.app.clone()));
        for place in places.chain(assigned) {
            let next = u32::try_from(world.numbers.len()).unwrap_or(u32::MAX);
            world.numbers.entry(place).or_insert(next);
        }
        for (host, entry) in snapshot.entries() {
            world.homes.insert(entry.instance.clone(), host.clone());
            let place = (entry.environment.clone(), entry.app.clone());
            let need = snapshot.spec(&place, entry.release).map(|spec| Need::of(spec));
            // What is lost crowds no failure domain.
            if !snapshot.is_down(host) {
                world.pool.take(host, world.numbers[&place], &need.unwrap_or_default());
            }
            world.by_place.entry(place).or_default().insert(entry.instance.clone());
        }
        world
    }

    /// Numbers an app in an environment, for the pool's counts.
    pub(super) fn number(&self, place: &Place) -> u32 {
        self.numbers.get(place).copied().unwrap_or(u32::MAX)
    }

    /// The hosts that report to have an image.
    pub(super) fn holders(&self, digest: &Digest) -> &[&'a HostId] {
        let index = self.holders.get_or_init(|| {
            let mut index: HashMap<&Digest, Vec<&HostId>> = HashMap::new();
            for (host, status) in &self.snapshot.statuses {
                for digest in &status.images {
                    index.entry(digest).or_default().push(host);
                }
            }
            index
        });
        index.get(digest).map_or(&[], Vec::as_slice)
    }

    pub(super) fn knows(&self, instance: &InstanceId) -> bool {
        self.homes.contains_key(instance)
    }

    pub(super) fn must_move(&self, host: &HostId) -> bool {
        self.snapshot.hosts.get(host).is_some_and(|host| host.state == HostState::Draining)
    }

    /// An app's entries on hosts that are not taken for dead, sorted by instance. One that this
    /// very plan removes is among them: its removal is not written yet, and an addition elsewhere
    /// may be written before it.
    pub(super) fn entries_of(&self, place: &Place) -> Vec<(HostId, Entry)> {
        let Some(instances) = self.by_place.get(place) else { return Vec::new() };
        let found = instances.iter().filter_map(|instance| {
            let host = self.homes.get(instance)?;
            let now = self.assignments.get(host).and_then(|a| a.entry(instance));
            let before = || self.snapshot.assignments.get(host)?.entry(instance);
            let entry = now.or_else(before)?;
            (!self.snapshot.is_down(host)).then(|| (host.clone(), entry.clone()))
        });
        found.collect()
    }

    /// An app's entries on all hosts, as they were before this plan.
    pub(super) fn everywhere(&self, place: &Place) -> impl Iterator<Item = (&HostId, &Entry)> {
        let instances = self.by_place.get(place).into_iter().flatten();
        instances.filter_map(|instance| {
            let host = self.homes.get(instance)?;
            Some((host, self.snapshot.assignments.get(host)?.entry(instance)?))
        })
    }

    /// An app's instances on hosts that are taken for dead that no instance elsewhere was started
    /// for yet.
    pub(super) fn lost(&self, place: &Place) -> Vec<InstanceId> {
        let Some(instances) = self.by_place.get(place) else { return Vec::new() };
        let entry = |instance: &InstanceId| {
            let host = self.homes.get(instance)?;
            let entry = self.assignments.get(host)?.entry(instance)?;
            Some((self.snapshot.is_down(host), entry))
        };
        let all = || instances.iter().filter_map(entry);
        let replaced: BTreeSet<&InstanceId> =
            all().filter(|(down, _)| !down).filter_map(|(_, e)| e.replaces.as_ref()).collect();
        all()
            .filter(|(down, e)| *down && e.wanted == Wanted::Run)
            .filter(|(_, e)| !replaced.contains(&e.instance))
            .map(|(_, e)| e.instance.clone())
            .collect()
    }

    /// Moves what is leaving one step on: drained ones that no table has are stopped, stopped ones
    /// that their host reports gone lose their entry.
    pub(super) fn tidy(&mut self) {
        let snapshot = self.snapshot;
        for (host, entry) in snapshot.entries() {
            match entry.wanted {
                Wanted::Drain if snapshot.out_of_service.contains(&entry.instance) => {
                    self.want(&entry.instance, Wanted::Stop);
                }
                Wanted::Stop if self.is_gone(host, &entry.instance) => self.remove(host, entry),
                _ => {}
            }
        }
    }

    /// Whether a host that has seen its newest assignment knows the instance as stopped, or not at
    /// all.
    fn is_gone(&self, host: &HostId, instance: &InstanceId) -> bool {
        let (Some(status), Some(assignment)) =
            (self.snapshot.statuses.get(host), self.snapshot.assignments.get(host))
        else {
            return false;
        };
        match self.snapshot.instance_status(host, instance) {
            Some(status) => status.state == InstanceState::Stopped,
            None => status.generation >= assignment.generation,
        }
    }

    /// Drains instances of apps that have no deployment in their environment any more.
    pub(super) fn orphans(&mut self) {
        let snapshot = self.snapshot;
        for (_, entry) in snapshot.entries() {
            let place = (entry.environment.clone(), entry.app.clone());
            if entry.wanted == Wanted::Run && !snapshot.deployments.contains_key(&place) {
                self.leave(&entry.instance);
            }
        }
    }

    /// Lets an instance go: drained first, or stopped at once when nothing sends to it anyway.
    pub(super) fn leave(&mut self, instance: &InstanceId) {
        let out = self.snapshot.out_of_service.contains(instance);
        self.want(instance, if out { Wanted::Stop } else { Wanted::Drain });
    }

    /// Sets what is wanted of an instance; never back to something earlier.
    fn want(&mut self, instance: &InstanceId, wanted: Wanted) {
        let Some(host) = self.homes.get(instance) else { return };
        let Some(assignment) = self.assignments.get_mut(host) else { return };
        let entry = assignment.entries.iter_mut().find(|entry| entry.instance == *instance);
        if let Some(entry) = entry.filter(|entry| entry.wanted < wanted) {
            entry.wanted = wanted;
            self.changed.entry(host.clone()).or_default();
        }
    }

    fn remove(&mut self, host: &HostId, entry: &Entry) {
        let Some(assignment) = self.assignments.get_mut(host) else { return };
        assignment.entries.retain(|other| other.instance != entry.instance);
        address::give_back(&mut assignment.cooling, entry, self.now);
        self.changed.entry(host.clone()).or_default();
    }

    pub(super) fn free_address(&self, host: &HostId, place: &Place) -> Option<Ipv4Addr> {
        let subnet = self.snapshot.hosts.get(host)?.subnet;
        let empty = Assignment::empty(host.clone());
        let assignment = self.assignments.get(host).unwrap_or(&empty);
        address::free_address(subnet, assignment, (&place.0, &place.1), self.now)
    }

    /// Adds an instance to a host.
    pub(super) fn add(&mut self, host: &HostId, entry: Entry, need: &Need) {
        let place = (entry.environment.clone(), entry.app.clone());
        self.pool.take(host, self.number(&place), need);
        self.homes.insert(entry.instance.clone(), host.clone());
        self.by_place.entry(place).or_default().insert(entry.instance.clone());
        let assignment =
            self.assignments.entry(host.clone()).or_insert_with(|| Assignment::empty(host.clone()));
        let at = assignment.entries.partition_point(|other| other.instance < entry.instance);
        assignment.entries.insert(at, entry);
        self.changed.insert(host.clone(), true);
    }

    /// The changed assignments with their next generation, those with additions first.
    pub(super) fn writes(mut self) -> Vec<Assignment> {
        let mut order: Vec<(bool, HostId)> =
            self.changed.iter().map(|(host, added)| (!added, host.clone())).collect();
        order.sort();
        let changed = order.into_iter().filter_map(|(_, host)| self.assignments.remove(&host));
        let now = self.now;
        changed
            .map(|mut assignment| {
                assignment.generation = assignment.generation.next();
                assignment.cooling.retain(|cooling| cooling.until > now);
                assignment
            })
            .collect()
    }
}
