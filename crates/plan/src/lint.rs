//! The plan linter: an independent look at a plan before it is written. It knows nothing of how
//! plans are made, only what must hold of any. A plan that does not pass is not written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use api::assignment::{Assignment, Entry, Wanted};
use api::id::{HostId, InstanceId};
use api::status::InstanceState;

use crate::place::Need;
use crate::reconcile::Outcome;
use crate::snapshot::{Place, Snapshot};

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What breaks it.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// What must hold of every write of a plan, taken in the plan's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// No app has more instances on hosts that are not down than desired + surge because of a
    /// write.
    NoExplosion,
    /// An assignment's generation grows by one; a host is written once.
    Generation,
    /// Entries are sorted, and each instance has one entry in the cluster.
    OneEntry,
    /// An entry keeps what it was made with, and is never wanted again as something earlier.
    Immutable,
    /// An entry goes only when it was to stop and its host reports the instance gone.
    NoEarlyRemoval,
    /// Nothing is stopped that a table may still send traffic to.
    NoEarlyStop,
    /// Nothing in service is drained when too few would stay.
    Availability,
    /// An instance is added only where its resources are free.
    Capacity,
    /// An instance is added only to a host that can be told so.
    Reachable,
    /// Addresses are unique, of the host's subnet, and none of its special ones.
    Address,
    /// An assignment is no larger than a document may be.
    Size,
    /// A singleton's instance is added only where no other is assigned, but for those on hosts that
    /// are down whose lease is over for certain; with an epoch above all before, which its
    /// deployment names.
    Singleton,
}

/// Checks a plan against the snapshot it was made from.
///
/// # Errors
/// Lists everything that is wrong with it.
pub fn lint(snapshot: &Snapshot, outcome: &Outcome) -> Result<(), Vec<Violation>> {
    let mut lint = Lint { snapshot, now: snapshot.assignments.clone(), found: Vec::new() };
    let mut written = BTreeSet::new();
    for write in &outcome.writes {
        if !written.insert(&write.host) {
            lint.note(Rule::Generation, format!("{} is written twice", write.host));
        }
        lint.write(write, outcome);
    }
    if lint.found.is_empty() { Ok(()) } else { Err(lint.found) }
}

struct Lint<'a> {
    snapshot: &'a Snapshot,
    /// The assignments with the plan's writes so far.
    now: BTreeMap<HostId, Assignment>,
    found: Vec<Violation>,
}

impl Lint<'_> {
    fn note(&mut self, rule: Rule, detail: String) {
        self.found.push(Violation { rule, detail });
    }

    fn write(&mut self, write: &Assignment, outcome: &Outcome) {
        let empty = Assignment::empty(write.host.clone());
        let before = self.now.get(&write.host).cloned().unwrap_or(empty);
        if write.generation != before.generation.next() {
            let detail =
                format!("{}: {} after {}", write.host, write.generation, before.generation);
            self.note(Rule::Generation, detail);
        }
        self.shape(write);
        self.kept(&before, write);
        let added: Vec<&Entry> =
            write.entries.iter().filter(|e| before.entry(&e.instance).is_none()).collect();
        self.elsewhere(&added);
        self.room(write, &added);
        let served = self.in_service();
        self.now.insert(write.host.clone(), write.clone());
        self.explosion(&added, outcome);
        self.singletons(&added, outcome);
        self.availability(&served, outcome);
    }

    /// Order, addresses and size of one document.
    fn shape(&mut self, write: &Assignment) {
        if !write.entries.is_sorted_by(|a, b| a.instance < b.instance) {
            self.note(Rule::OneEntry, format!("{}: entries are not sorted", write.host));
        }
        let mut addresses = BTreeMap::<Ipv4Addr, &InstanceId>::new();
        let subnet = self.snapshot.hosts.get(&write.host).map(|host| host.subnet);
        for entry in &write.entries {
            let address = entry.address;
            if let Some(other) = addresses.insert(address, &entry.instance) {
                let detail = format!("{} and {other} share {address}", entry.instance);
                self.note(Rule::Address, detail);
            }
            let special = |net: ipnet::Ipv4Net| {
                let gateway = u32::from(net.network()) + 1;
                !net.contains(&address)
                    || address == net.network()
                    || address == net.broadcast()
                    || u32::from(address) == gateway
            };
            if subnet.is_none_or(special) {
                let detail = format!("{}: {address} on {}", entry.instance, write.host);
                self.note(Rule::Address, detail);
            }
        }
        let size = serde_json::to_vec(write).map_or(usize::MAX, |json| json.len());
        if size > Assignment::MAX_BYTES {
            self.note(Rule::Size, format!("{}: {size} bytes", write.host));
        }
    }

    /// What the document had before: unchanged but for a later wish, or rightly gone.
    fn kept(&mut self, before: &Assignment, write: &Assignment) {
        for old in &before.entries {
            let id = &old.instance;
            let Some(new) = write.entry(id) else {
                self.removed(write, old);
                continue;
            };
            let same = Entry { wanted: old.wanted, ..new.clone() };
            if same != *old || new.wanted < old.wanted {
                self.note(Rule::Immutable, format!("{id}: {old:?} became {new:?}"));
            }
            let stops = new.wanted == Wanted::Stop && old.wanted != Wanted::Stop;
            if stops && !self.snapshot.out_of_service.contains(id) {
                self.note(Rule::NoEarlyStop, format!("{id} may still get traffic"));
            }
        }
    }

    fn removed(&mut self, write: &Assignment, old: &Entry) {
        let id = &old.instance;
        let status = self.snapshot.statuses.get(&write.host);
        let gone = status.is_some_and(|report| {
            let reported = report.instances.iter().find(|status| status.instance == *id);
            reported.is_some_and(|status| status.state == InstanceState::Stopped)
                || (reported.is_none() && report.generation.0 + 1 >= write.generation.0)
        });
        if old.wanted != Wanted::Stop || !gone {
            let detail = format!("{id} goes while {:?}, gone: {gone}", old.wanted);
            self.note(Rule::NoEarlyRemoval, detail);
        }
    }

    /// New instances are new everywhere.
    fn elsewhere(&mut self, added: &[&Entry]) {
        for entry in added {
            let known = self.now.values().any(|a| a.entry(&entry.instance).is_some());
            if known {
                self.note(Rule::OneEntry, format!("{} exists on another host", entry.instance));
            }
            if entry.wanted != Wanted::Run {
                let detail = format!("{} begins as {:?}", entry.instance, entry.wanted);
                self.note(Rule::Immutable, detail);
            }
        }
    }

    /// The resources of a host that gets instances, all of its entries counted.
    fn room(&mut self, write: &Assignment, added: &[&Entry]) {
        if added.is_empty() {
            return;
        }
        if !self.snapshot.is_reachable(&write.host) {
            self.note(Rule::Reachable, format!("{} gets instances", write.host));
        }
        let capacity = self.snapshot.capacity(&write.host);
        let mut sum = (0u64, 0u64, 0u64, 0u64);
        for entry in &write.entries {
            let place = (entry.environment.clone(), entry.app.clone());
            let spec = self.snapshot.spec(&place, entry.release);
            let need = spec.map(|spec| Need::of(spec)).unwrap_or_default();
            sum.0 += u64::from(need.cpu.0);
            sum.1 += need.memory.0;
            sum.2 += u64::from(need.pids);
            sum.3 += need.disk.0;
        }
        let over = sum.0 > u64::from(capacity.cpu.0)
            || sum.1 > capacity.memory.0
            || sum.2 > u64::from(capacity.pids)
            || sum.3 > capacity.disk.0
            || write.entries.len() as u64 > u64::from(capacity.instances);
        if over {
            self.note(Rule::Capacity, format!("{}: {sum:?} of {capacity:?}", write.host));
        }
    }

    /// Promise 3, after a write that added instances.
    fn explosion(&mut self, added: &[&Entry], outcome: &Outcome) {
        let places: BTreeSet<Place> =
            added.iter().map(|e| (e.environment.clone(), e.app.clone())).collect();
        for place in places {
            let mut total = 0u32;
            for (host, assignment) in &self.now {
                if !self.snapshot.is_down(host) {
                    let of = |e: &&Entry| (&e.environment, &e.app) == (&place.0, &place.1);
                    total += u32::try_from(assignment.entries.iter().filter(of).count())
                        .unwrap_or(u32::MAX);
                }
            }
            let (desired, surge, _) = self.goal(&place, outcome);
            if total > desired + surge {
                let (environment, app) = &place;
                let detail = format!("{app} in {environment}: {total} of {desired} + {surge}");
                self.note(Rule::NoExplosion, detail);
            }
        }
    }

    /// One instance of each singleton, whatever hosts that are down still do.
    fn singletons(&mut self, added: &[&Entry], outcome: &Outcome) {
        let mut broken = Vec::new();
        for entry in added {
            let place = (entry.environment.clone(), entry.app.clone());
            let spec = self.snapshot.spec(&place, entry.release);
            if !spec.is_some_and(|spec| spec.singleton) {
                if entry.epoch != 0 {
                    broken.push(format!("{} has an epoch and is no singleton", entry.instance));
                }
                continue;
            }
            let all =
                self.now.iter().flat_map(|(host, a)| a.entries.iter().map(move |e| (host, e)));
            let others = all.filter(|(_, other)| {
                (&other.environment, &other.app) == (&place.0, &place.1)
                    && other.instance != entry.instance
            });
            for (host, other) in others {
                let down = self.snapshot.is_down(host);
                let wait = self.snapshot.leases.wait(&other.instance);
                if !down || (other.epoch > 0 && wait.0 > 0) || other.epoch >= entry.epoch {
                    broken.push(format!(
                        "{} (epoch {}) beside {} (epoch {}) on {host} (down: {down}, wait: {wait})",
                        entry.instance, entry.epoch, other.instance, other.epoch
                    ));
                }
            }
            let before = self.snapshot.deployments.get(&place).map_or(0, |d| d.epoch);
            let of =
                |d: &&api::deployment::Deployment| (&d.environment, &d.app) == (&place.0, &place.1);
            let after = outcome.deployments.iter().find(of).map_or(before, |d| d.epoch);
            if entry.epoch <= before || entry.epoch != after {
                broken.push(format!(
                    "{} has epoch {}, its deployment {before} and then {after}",
                    entry.instance, entry.epoch
                ));
            }
        }
        broken.into_iter().for_each(|detail| self.note(Rule::Singleton, detail));
    }

    /// Desired instances, surge and how many may be missing, by the deployment as the plan leaves
    /// it.
    fn goal(&self, place: &Place, outcome: &Outcome) -> (u32, u32, u32) {
        let changed =
            outcome.deployments.iter().find(|d| (&d.environment, &d.app) == (&place.0, &place.1));
        let deployment = changed.or_else(|| self.snapshot.deployments.get(place));
        let wanted = deployment.and_then(|deployment| deployment.wanted_release());
        let spec = wanted.and_then(|release| self.snapshot.spec(place, release));
        spec.map_or((0, 0, 0), |spec| {
            (spec.scale.instances, spec.rollout.surge, spec.rollout.max_unavailable)
        })
    }

    /// How many instances of each app serve by the assignments so far.
    fn in_service(&self) -> BTreeMap<Place, u32> {
        let mut counts = BTreeMap::new();
        for (host, assignment) in &self.now {
            for entry in &assignment.entries {
                let status = self.snapshot.instance_status(host, &entry.instance);
                let serves = entry.wanted == Wanted::Run
                    && self.snapshot.in_service.contains(&entry.instance)
                    && status.is_some_and(|s| s.state == InstanceState::Healthy)
                    && !self.snapshot.is_down(host)
                    && !self.snapshot.suspects.contains(host);
                let place = (entry.environment.clone(), entry.app.clone());
                *counts.entry(place).or_insert(0u32) += u32::from(serves);
            }
        }
        counts
    }

    fn availability(&mut self, before: &BTreeMap<Place, u32>, outcome: &Outcome) {
        let after = self.in_service();
        for (place, &served) in before {
            let left = after.get(place).copied().unwrap_or(0);
            let (desired, _, unavailable) = self.goal(place, outcome);
            if left < served && left < desired.saturating_sub(unavailable) {
                let (environment, app) = place;
                let detail = format!("{app} in {environment}: {served} -> {left} of {desired}");
                self.note(Rule::Availability, detail);
            }
        }
    }
}
