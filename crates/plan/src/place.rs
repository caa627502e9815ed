//! Which host takes an instance. Hosts stand in a tree of failure domains; a placement walks down
//! from the root, at each level into the domain that holds the fewest instances of the app, and
//! ends at the fullest host that has room (bin-pack inside a domain). What a subtree has free is
//! kept as an upper bound and corrected where a walk found it wrong, so that one placement costs
//! about the number of branches along one path.

use std::collections::{BTreeMap, BTreeSet};

use api::host::{Capacity, Host, HostState};
use api::id::HostId;
use api::manifest::{DomainLevel, Spec};
use api::unit::{Bytes, MilliCpu};

use crate::report::NoHost;

/// What an instance takes of its host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Guaranteed processor time.
    pub cpu: MilliCpu,
    /// Its memory limit.
    pub memory: Bytes,
    /// Its limit of process ids.
    pub pids: u32,
    /// Its scratch space.
    pub disk: Bytes,
}

impl Need {
    /// What instances of a spec take.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let scratch = spec.process.scratch.values().map(|size| size.0).sum();
        Self {
            cpu: spec.resources.cpu,
            memory: spec.resources.memory,
            pids: spec.resources.pids,
            disk: Bytes(spec.resources.disk.map_or(scratch, |disk| disk.0.max(scratch))),
        }
    }
}

/// What is free; below zero where a host has less than what it runs asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Free {
    cpu: i64,
    memory: i64,
    pids: i64,
    disk: i64,
    addresses: i64,
}

impl Free {
    fn of(capacity: &Capacity) -> Self {
        Self {
            cpu: i64::from(capacity.cpu.0),
            memory: signed(capacity.memory),
            pids: i64::from(capacity.pids),
            disk: signed(capacity.disk),
            addresses: i64::from(capacity.instances),
        }
    }

    fn take(&mut self, need: &Need) {
        self.cpu -= i64::from(need.cpu.0);
        self.memory -= signed(need.memory);
        self.pids -= i64::from(need.pids);
        self.disk -= signed(need.disk);
        self.addresses -= 1;
    }

    fn give_back(&mut self, need: &Need) {
        self.cpu += i64::from(need.cpu.0);
        self.memory += signed(need.memory);
        self.pids += i64::from(need.pids);
        self.disk += signed(need.disk);
        self.addresses += 1;
    }

    fn holds(&self, need: &Need) -> bool {
        self.cpu >= i64::from(need.cpu.0)
            && self.memory >= signed(need.memory)
            && self.pids >= i64::from(need.pids)
            && self.disk >= signed(need.disk)
            && self.addresses >= 1
    }

    fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            pids: self.pids.max(other.pids),
            disk: self.disk.max(other.disk),
            addresses: self.addresses.max(other.addresses),
        }
    }
}

/// Amounts of memory and disk are far below 2⁶³ bytes.
fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.0).unwrap_or(i64::MAX)
}

/// A failure domain, or at the leaves a host.
#[derive(Debug)]
struct Node {
    parent: Option<usize>,
    children: Vec<usize>,
    /// The level's name in `spread.by`; none for the root and for levels above the zone.
    level: Option<DomainLevel>,
    /// At a leaf the host's own, elsewhere an upper bound of what any host below has.
    free: Free,
    /// Instances of any app below, to fill sibling domains evenly.
    load: u32,
    host: Option<Leaf>,
    /// A domain's path, for people.
    name: Option<String>,
}

#[derive(Debug)]
struct Leaf {
    name: HostId,
    ready: bool,
    labels: BTreeMap<String, String>,
}

/// All hosts with what is free on them.
#[derive(Debug)]
pub struct Pool {
    nodes: Vec<Node>,
    leaves: BTreeMap<HostId, usize>,
    /// Per app in an environment, how many instances each node holds.
    counts: BTreeMap<u32, Vec<u32>>,
}

/// What is asked of a placement.
#[derive(Debug)]
pub struct Request<'a> {
    /// Numbers the app in its environment, for the counts of the pool.
    pub place: u32,
    /// What one instance takes.
    pub need: Need,
    /// Labels that the host must carry.
    pub labels: &'a BTreeMap<String, String>,
    /// The levels to spread over.
    pub by: &'a [DomainLevel],
    /// By how much two domains of a level may differ before the fuller one is left out.
    pub max_skew: u32,
    /// Hosts to take only when no other can.
    pub avoid: &'a BTreeSet<HostId>,
    /// Hosts to take before others that are as good: they have the image.
    pub warm: &'a Marks,
}

/// Hosts of a pool, and the failure domains that they stand in.
#[derive(Debug, Clone, Default)]
pub struct Marks(BTreeSet<usize>);

/// A placement that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The host.
    pub host: HostId,
    /// How many instances of the app its outermost failure domain held before.
    pub in_domain: u32,
    /// How many instances of the app the host held before.
    pub on_host: u32,
    /// Whether it was to be avoided and no other could.
    pub avoided: bool,
}

impl Pool {
    /// A pool of empty hosts with what each has to give.
    #[must_use]
    pub fn new<'a>(hosts: impl IntoIterator<Item = (&'a Host, Capacity)>) -> Self {
        let root = Node {
            parent: None,
            children: Vec::new(),
            level: None,
            free: Free::default(),
            load: 0,
            host: None,
            name: None,
        };
        let mut pool = Self { nodes: vec![root], leaves: BTreeMap::new(), counts: BTreeMap::new() };
        let mut domains: BTreeMap<(usize, &str), usize> = BTreeMap::new();
        for (host, capacity) in hosts {
            let mut at = 0;
            let levels = host.domain.levels();
            for (depth, name) in levels.iter().enumerate() {
                let above_host = levels.len() - depth;
                at = *domains.entry((at, name)).or_insert_with(|| {
                    let level = level_above_host(above_host);
                    let node = pool.add(at, level, Free::default(), None);
                    pool.nodes[node].name = Some(levels[..=depth].join("/"));
                    node
                });
            }
            let leaf = Leaf {
                name: host.name.clone(),
                ready: host.state == HostState::Ready
                    && !host.is_down()
                    && capacity != Capacity::default(),
                labels: host.labels.clone(),
            };
            let free = if leaf.ready { Free::of(&capacity) } else { Free::default() };
            let node = pool.add(at, Some(DomainLevel::Host), free, Some(leaf));
            pool.leaves.insert(host.name.clone(), node);
        }
        for node in (1..pool.nodes.len()).rev() {
            pool.tighten(node);
        }
        pool.tighten(0);
        pool
    }

    fn add(
        &mut self,
        parent: usize,
        level: Option<DomainLevel>,
        free: Free,
        host: Option<Leaf>,
    ) -> usize {
        let node = self.nodes.len();
        let parent_of = Some(parent);
        let (children, name) = (Vec::new(), None);
        self.nodes.push(Node { parent: parent_of, children, level, free, load: 0, host, name });
        self.nodes[parent].children.push(node);
        node
    }

    /// Sets an inner node's bound to what its children have.
    fn tighten(&mut self, node: usize) {
        if self.nodes[node].host.is_none() {
            let children = self.nodes[node].children.iter();
            let free = children.map(|child| self.nodes[*child].free).reduce(Free::max);
            self.nodes[node].free = free.unwrap_or_default();
        }
    }

    /// Marks hosts and the failure domains that they stand in. Unknown hosts are passed over.
    #[must_use]
    pub fn marks<'a>(&self, hosts: impl IntoIterator<Item = &'a HostId>) -> Marks {
        let mut marks = BTreeSet::new();
        for leaf in hosts.into_iter().filter_map(|host| self.leaves.get(host)) {
            let mut at = Some(*leaf);
            while let Some(node) = at.filter(|node| marks.insert(*node)) {
                at = self.nodes[node].parent;
            }
        }
        Marks(marks)
    }

    /// What a host has free of its disk.
    #[must_use]
    pub fn free_disk(&self, host: &HostId) -> Bytes {
        let free = self.leaves.get(host).map_or(0, |leaf| self.nodes[*leaf].free.disk);
        Bytes(u64::try_from(free).unwrap_or(0))
    }

    /// Counts an instance that a host has. An unknown host is passed over.
    pub fn take(&mut self, host: &HostId, place: u32, need: &Need) {
        let Some(&leaf) = self.leaves.get(host) else { return };
        self.nodes[leaf].free.take(need);
        let nodes = self.nodes.len();
        let counts = self.counts.entry(place).or_insert_with(|| vec![0; nodes]);
        let mut at = Some(leaf);
        while let Some(node) = at {
            counts[node] += 1;
            self.nodes[node].load += 1;
            at = self.nodes[node].parent;
        }
    }

    /// How many instances of the app stand in the same outermost failure domain as `host`, and on
    /// it.
    #[must_use]
    pub fn crowd(&self, host: &HostId, place: u32) -> (u32, u32) {
        let (Some(&leaf), Some(counts)) = (self.leaves.get(host), self.counts.get(&place)) else {
            return (0, 0);
        };
        let mut top = leaf;
        while let Some(parent) = self.nodes[top].parent.filter(|parent| *parent != 0) {
            top = parent;
        }
        (counts[top], counts[leaf])
    }

    /// How many instances of the app stand in each failure domain of `host` that is spread over,
    /// outermost first, and on it.
    #[must_use]
    pub fn crowds(&self, host: &HostId, place: u32, by: &[DomainLevel]) -> Vec<u32> {
        let Some(counts) = self.counts.get(&place) else { return Vec::new() };
        self.path(host, by).into_iter().map(|node| counts[node]).collect()
    }

    /// The failure domains of a host that are spread over, outermost first, and the host.
    fn path(&self, host: &HostId, by: &[DomainLevel]) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = self.leaves.get(host).copied();
        while let Some(node) = at.filter(|node| *node != 0) {
            if self.nodes[node].level.is_none_or(|level| by.contains(&level)) {
                path.push(node);
            }
            at = self.nodes[node].parent;
        }
        path.reverse();
        path
    }

    /// Gives back what [`Self::take`] took.
    pub fn give_back(&mut self, host: &HostId, place: u32, need: &Need) {
        let (Some(&leaf), Some(counts)) = (self.leaves.get(host), self.counts.get_mut(&place))
        else {
            return;
        };
        self.nodes[leaf].free.give_back(need);
        let free = self.nodes[leaf].free;
        let mut at = Some(leaf);
        while let Some(node) = at {
            counts[node] -= 1;
            self.nodes[node].load -= 1;
            // Bounds above stay bounds.
            self.nodes[node].free = self.nodes[node].free.max(free);
            at = self.nodes[node].parent;
        }
    }

    /// Finds a host to which an instance of `from` would better move: where the two part, the
    /// failure domain that it leaves holds more than `max_skew` more than the one it comes to.
    #[must_use]
    pub fn better(&mut self, from: &HostId, request: &Request) -> Option<Found> {
        self.give_back(from, request.place, &request.need);
        let found = self.find(request).ok().filter(|found| !found.avoided);
        let better = found.filter(|found| {
            let Some(counts) = self.counts.get(&request.place) else { return false };
            let ways = [from, &found.host].map(|host| self.path(host, request.by));
            let parting = ways[0].iter().zip(&ways[1]).find(|(a, b)| a != b);
            parting.is_some_and(|(a, b)| counts[*a] >= counts[*b] + request.max_skew.max(1))
        });
        self.take(from, request.place, &request.need);
        better
    }

    /// The outermost failure domains that are spread over and hold more than their even share of
    /// `instances`: their name, what they hold, and the share. Domains without a host that could
    /// ever take one are left out.
    #[must_use]
    pub fn uneven(&self, request: &Request, instances: u32) -> Vec<(String, u32, u32)> {
        let Some(counts) = self.counts.get(&request.place) else { return Vec::new() };
        let mut domains = BTreeMap::new();
        for (name, leaf) in &self.leaves {
            let host = self.nodes[*leaf].host.as_ref();
            let takes = host.is_some_and(|h| h.ready && carries(&h.labels, request.labels));
            let Some(top) = self.path(name, request.by).first().copied().filter(|_| takes) else {
                continue;
            };
            domains.entry(top).or_insert(name);
        }
        let share = instances.div_ceil(u32::try_from(domains.len()).unwrap_or(u32::MAX).max(1));
        let over = domains.into_iter().filter(|(node, _)| counts[*node] > share);
        over.map(|(node, host)| (self.name(node, host), counts[node], share)).collect()
    }

    /// A domain's path; it is told by a host in it.
    fn name(&self, node: usize, host: &HostId) -> String {
        self.nodes[node].name.clone().unwrap_or_else(|| host.to_string())
    }

    /// Finds a host for one more instance; does not take it.
    ///
    /// # Errors
    /// When no host can, with the reasons of all of them.
    pub fn find(&mut self, request: &Request) -> Result<Found, Box<NoHost>> {
        let counts =
            self.counts.remove(&request.place).unwrap_or_else(|| vec![0; self.nodes.len()]);
        let leaf = self.descend(0, request, &counts, false);
        let found = match leaf {
            Some(leaf) => Some((leaf, false)),
            None if request.avoid.is_empty() => None,
            None => self.descend(0, request, &counts, true).map(|leaf| (leaf, true)),
        };
        self.counts.insert(request.place, counts);
        let Some((leaf, avoided)) = found else { return Err(Box::new(self.explain(request))) };
        let host = self.nodes[leaf].host.as_ref().expect("a walk ends at a host").name.clone();
        let (in_domain, on_host) = self.crowd(&host, request.place);
        Ok(Found { host, in_domain, on_host, avoided })
    }

    /// Walks down to a host that can take the instance, the most preferred one first.
    fn descend(
        &mut self,
        node: usize,
        request: &Request,
        counts: &[u32],
        avoided_too: bool,
    ) -> Option<usize> {
        if let Some(host) = &self.nodes[node].host {
            let suits = host.ready
                && (avoided_too || !request.avoid.contains(&host.name))
                && self.nodes[node].free.holds(&request.need)
                && carries(&host.labels, request.labels);
            return suits.then_some(node);
        }
        // One pass for the best child is enough nearly always; the rest are sorted only when it
        // fails.
        let best = self.candidates(node, request, counts).min()?;
        if let Some(leaf) = self.descend(best.1, request, counts, avoided_too) {
            return Some(leaf);
        }
        let mut rest: Vec<_> = self.candidates(node, request, counts).collect();
        rest.sort_unstable();
        for (_, child) in rest {
            if child != best.1
                && let Some(leaf) = self.descend(child, request, counts, avoided_too)
            {
                return Some(leaf);
            }
        }
        self.tighten(node);
        None
    }

    /// The children that may have room, each with its rank: fewest instances of the app (in steps
    /// of the allowed skew), then those with the image, then for domains the least loaded, for
    /// hosts the fullest.
    fn candidates<'a>(
        &'a self,
        node: usize,
        request: &'a Request,
        counts: &'a [u32],
    ) -> impl Iterator<Item = ((u32, bool, u32, i64), usize)> + 'a {
        let children = &self.nodes[node].children;
        let fits = |child: &&usize| self.nodes[**child].free.holds(&request.need);
        let spread =
            |child: usize| self.nodes[child].level.is_none_or(|level| request.by.contains(&level));
        let fewest = children.iter().filter(fits).map(|child| counts[*child]).min().unwrap_or(0);
        let tolerated = fewest + request.max_skew.saturating_sub(1);
        children.iter().filter(fits).map(move |&child| {
            let held = if spread(child) { counts[child].max(tolerated) } else { 0 };
            let here = &self.nodes[child];
            let cold = !request.warm.0.contains(&child);
            match here.host {
                Some(_) => ((held, cold, 0, here.free.memory), child),
                None => ((held, cold, here.load, 0), child),
            }
        })
    }

    /// Counts what each host fails by.
    fn explain(&self, request: &Request) -> NoHost {
        let mut why = NoHost::default();
        let need = &request.need;
        for leaf in self.leaves.values() {
            let node = &self.nodes[*leaf];
            let Some(host) = &node.host else { continue };
            why.hosts += 1;
            if !host.ready {
                why.not_ready += 1;
                continue;
            }
            if !carries(&host.labels, request.labels) {
                why.labels += 1;
                continue;
            }
            let free = |amount: i64| u64::try_from(amount).unwrap_or(0);
            let small = |amount: i64| u32::try_from(amount.max(0)).unwrap_or(u32::MAX);
            why.cpu.count(need.cpu, MilliCpu(small(node.free.cpu)));
            why.memory.count(need.memory, Bytes(free(node.free.memory)));
            why.pids.count(need.pids, small(node.free.pids));
            why.disk.count(need.disk, Bytes(free(node.free.disk)));
            why.addresses += u32::from(node.free.addresses < 1);
        }
        why
    }
}

/// The level of a domain by its distance from the host: a path is `zone/rack/hypervisor`, its last
/// part the nearest; parts beyond three have no name and are always spread over.
fn level_above_host(distance: usize) -> Option<DomainLevel> {
    match distance {
        1 => Some(DomainLevel::Hypervisor),
        2 => Some(DomainLevel::Rack),
        3 => Some(DomainLevel::Zone),
        _ => None,
    }
}

fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
