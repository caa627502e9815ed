//! What would move where. The same placement as the planner's plays every loss once: the instances
//! of what is lost find hosts among the rest, and those hosts are to have their images.

use std::collections::{BTreeMap, BTreeSet};

use api::assignment::{Entry, Wanted};
use api::digest::Digest;
use api::host::Capacity;
use api::id::{HostId, ReleaseNumber};
use api::release::Image;
use api::unit::Bytes;

use crate::place::{Marks, Need, Pool, Request};
use crate::snapshot::{Place, Snapshot};

/// Most images that a host has ahead of need.
pub const MAX_IMAGES: usize = 64;

/// What an image counts for whose size nobody knows: one of a registry off the cluster.
pub const ASSUMED_SIZE: Bytes = Bytes::mib(512);

/// Which part of a host's free disk images ahead of need may take.
const SHARE_OF_DISK: u64 = 2;

/// What an image takes on a host's disk, by its size as it is transferred: it is kept as it came,
/// and unpacked, which is some three times as much.
const UNPACKED: u64 = 4;

/// Which hosts are to have which images beside those they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standby {
    /// By host, in the order of their need.
    pub hosts: BTreeMap<HostId, Vec<Image>>,
    /// Hosts by app, environment and release for which they stand by.
    pub places: BTreeMap<(Place, ReleaseNumber), BTreeSet<HostId>>,
    /// Apps of which an instance could be lost for which no other host has room.
    pub homeless: BTreeSet<Place>,
    /// Apps for which a host would stand by whose disk has no room for more images.
    pub cramped: BTreeSet<Place>,
}

/// Foresees every loss of one host, and of one failure domain that is not the whole cluster.
#[must_use]
pub fn standby(snapshot: &Snapshot) -> Standby {
    let mut play = Play::new(snapshot);
    for lost in losses(snapshot) {
        play.lose(&lost);
    }
    play.keep_apart();
    play.found
}

/// Sets of hosts that may be lost together: each host, then each failure domain, the innermost
/// first.
fn losses(snapshot: &Snapshot) -> Vec<BTreeSet<HostId>> {
    let alive: Vec<_> = snapshot.hosts.values().filter(|host| !host.is_down()).collect();
    let mut losses: Vec<BTreeSet<HostId>> =
        alive.iter().map(|host| BTreeSet::from([host.name.clone()])).collect();
    let mut domains: BTreeMap<(std::cmp::Reverse<usize>, &[String]), BTreeSet<HostId>> =
        BTreeMap::new();
    for host in &alive {
        let levels = host.domain.levels();
        for depth in 1..=levels.len() {
            let key = (std::cmp::Reverse(depth), &levels[..depth]);
            domains.entry(key).or_default().insert(host.name.clone());
        }
    }
    let several = |hosts: &BTreeSet<HostId>| hosts.len() > 1 && hosts.len() < alive.len();
    losses.extend(domains.into_values().filter(several));
    losses
}

/// The order in which lost instances are replaced: those that matter most first.
fn rank(
    snapshot: &Snapshot,
    entry: &Entry,
) -> (std::cmp::Reverse<u16>, Place, api::id::InstanceId) {
    let place = (entry.environment.clone(), entry.app.clone());
    let spec = snapshot.spec(&place, entry.release);
    let priority = spec.map_or(0, |spec| spec.priority.0);
    (std::cmp::Reverse(priority), place, entry.instance.clone())
}

struct Play<'a> {
    snapshot: &'a Snapshot,
    pool: Pool,
    numbers: BTreeMap<Place, u32>,
    /// The instances of each host that is not down, those that matter most first.
    entries: BTreeMap<HostId, Vec<&'a Entry>>,
    /// Who runs or has which image.
    holders: BTreeMap<&'a Digest, BTreeSet<&'a HostId>>,
    /// Images that a host runs, which are not ahead of need there.
    runs: BTreeMap<HostId, BTreeSet<Digest>>,
    room: BTreeMap<HostId, u64>,
    marks: BTreeMap<(Place, ReleaseNumber), Marks>,
    found: Standby,
}

impl<'a> Play<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let capacity = |host: &HostId| match snapshot.is_reachable(host) {
            true => snapshot.capacity(host),
            false => Capacity::default(),
        };
        let hosts = snapshot.hosts.values().map(|host| (host, capacity(&host.name)));
        let mut play = Self {
            snapshot,
            pool: Pool::new(hosts),
            numbers: BTreeMap::new(),
            entries: BTreeMap::new(),
            holders: BTreeMap::new(),
            runs: BTreeMap::new(),
            room: BTreeMap::new(),
            marks: BTreeMap::new(),
            found: Standby::default(),
        };
        for (host, status) in &snapshot.statuses {
            for digest in &status.images {
                play.holders.entry(digest).or_default().insert(host);
            }
        }
        for (host, entry) in snapshot.entries().filter(|(host, _)| !snapshot.is_down(host)) {
            play.count(host, entry);
        }
        for (host, entries) in &mut play.entries {
            entries.sort_by_cached_key(|entry| rank(snapshot, entry));
            play.room.entry(host.clone()).or_default();
        }
        for host in snapshot.hosts.keys() {
            let free = play.pool.free_disk(host).0 / SHARE_OF_DISK;
            play.room.insert(host.clone(), free);
        }
        play
    }

    fn count(&mut self, host: &HostId, entry: &'a Entry) {
        let place = (entry.environment.clone(), entry.app.clone());
        let number = self.number(&place);
        let need = self.need(&place, entry.release);
        self.pool.take(host, number, &need);
        if let Some(image) = self.snapshot.images.get(&(place.1, entry.release)) {
            self.runs.entry(host.clone()).or_default().insert(image.digest.clone());
        }
        self.entries.entry(host.clone()).or_default().push(entry);
    }

    fn number(&mut self, place: &Place) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(place.clone()).or_insert(next)
    }

    fn need(&self, place: &Place, release: ReleaseNumber) -> Need {
        let spec = self.snapshot.spec(place, release);
        spec.map(|spec| Need::of(spec)).unwrap_or_default()
    }

    /// Plays one loss, and takes all back.
    fn lose(&mut self, lost: &BTreeSet<HostId>) {
        let mut entries: Vec<(HostId, &'a Entry)> = Vec::new();
        for host in lost {
            let here = self.entries.get(host).into_iter().flatten();
            entries.extend(here.map(|entry| (host.clone(), *entry)));
        }
        // Their work is replaced in one order, whichever of them it was on.
        entries.sort_by_cached_key(|(_, entry)| rank(self.snapshot, entry));
        for (host, entry) in &entries {
            let place = (entry.environment.clone(), entry.app.clone());
            let (number, need) = (self.number(&place), self.need(&place, entry.release));
            self.pool.give_back(host, number, &need);
        }
        let mut taken = Vec::new();
        for (_, entry) in entries.iter().filter(|(_, entry)| entry.wanted == Wanted::Run) {
            let place = (entry.environment.clone(), entry.app.clone());
            match self.find(&place, entry.release, lost) {
                Some(host) => {
                    let (number, need) = (self.number(&place), self.need(&place, entry.release));
                    self.pool.take(&host, number, &need);
                    self.stand_by(&host, &place, entry.release);
                    taken.push((host, number, need));
                }
                None => _ = self.found.homeless.insert(place),
            }
        }
        for (host, number, need) in taken {
            self.pool.give_back(&host, number, &need);
        }
        for (host, entry) in &entries {
            let place = (entry.environment.clone(), entry.app.clone());
            let (number, need) = (self.number(&place), self.need(&place, entry.release));
            self.pool.take(host, number, &need);
        }
    }

    /// Where an instance would go if it could not go to `lost`.
    fn find(
        &mut self,
        place: &Place,
        release: ReleaseNumber,
        lost: &BTreeSet<HostId>,
    ) -> Option<HostId> {
        let spec = self.snapshot.spec(place, release)?.clone();
        let labels = self.snapshot.environments.get(&place.0);
        let labels = labels.map(|stage| stage.host_labels.clone()).unwrap_or_default();
        let number = self.number(place);
        let key = (place.clone(), release);
        if !self.marks.contains_key(&key) {
            let image = self.snapshot.images.get(&(place.1.clone(), release));
            let holders = image.and_then(|image| self.holders.get(&image.digest));
            let marks = self.pool.marks(holders.into_iter().flatten().copied());
            self.marks.insert(key.clone(), marks);
        }
        let request = Request {
            place: number,
            need: Need::of(&spec),
            labels: &labels,
            by: &spec.spread.by,
            max_skew: spec.spread.max_skew,
            avoid: lost,
            warm: &self.marks[&key],
        };
        self.pool.find(&request).ok().filter(|found| !found.avoided).map(|found| found.host)
    }

    /// A host is to have a release's image, where its disk has room.
    fn stand_by(&mut self, host: &HostId, place: &Place, release: ReleaseNumber) -> bool {
        let key = (place.1.clone(), release);
        let Some(image) = self.snapshot.images.get(&key) else { return false };
        if self.runs.get(host).is_some_and(|runs| runs.contains(&image.digest)) {
            return true;
        }
        let images = self.found.hosts.entry(host.clone()).or_default();
        if !images.iter().any(|known| known.digest == image.digest) {
            let size = self.snapshot.image_sizes.get(&image.digest).copied();
            let size = size.unwrap_or(ASSUMED_SIZE).0.saturating_mul(UNPACKED);
            let room = self.room.entry(host.clone()).or_default();
            if *room < size || images.len() >= MAX_IMAGES {
                self.found.cramped.insert(place.clone());
                return false;
            }
            *room -= size;
            images.push(image.clone());
        }
        let places = self.found.places.entry((place.clone(), release)).or_default();
        places.insert(host.clone());
        true
    }

    /// What runs last in the pipeline, and what it would be rolled back to, is on hosts of two
    /// failure domains, where there are two.
    fn keep_apart(&mut self) {
        let last = self.snapshot.environments.values().map(|stage| stage.order).max();
        let production = |place: &Place| {
            let stage = self.snapshot.environments.get(&place.0);
            stage.is_some_and(|stage| Some(stage.order) == last)
        };
        let deployments = self.snapshot.deployments.iter();
        let deployments: Vec<_> = deployments.filter(|(place, _)| production(place)).collect();
        for (place, deployment) in deployments {
            let releases = [deployment.wanted_release(), deployment.last_good];
            let releases: BTreeSet<ReleaseNumber> = releases.into_iter().flatten().collect();
            for release in releases {
                self.keep_release_apart(place, release);
            }
        }
    }

    fn keep_release_apart(&mut self, place: &Place, release: ReleaseNumber) {
        let runs = self.entries.iter().filter(|(_, entries)| {
            entries.iter().any(|entry| {
                (&entry.environment, &entry.app) == (&place.0, &place.1) && entry.release == release
            })
        });
        let mut holders: BTreeSet<HostId> = runs.map(|(host, _)| host.clone()).collect();
        holders.extend(
            self.found.places.get(&(place.clone(), release)).into_iter().flatten().cloned(),
        );
        let mut domains: BTreeSet<String> =
            holders.iter().map(|host| self.outermost(host)).collect();
        for _ in domains.len()..2 {
            let taken = |host: &&HostId| domains.contains(&self.outermost(host));
            let avoid: BTreeSet<HostId> =
                self.snapshot.hosts.keys().filter(taken).cloned().collect();
            let Some(host) = self.find(place, release, &avoid) else { return };
            if !self.stand_by(&host, place, release) {
                return;
            }
            domains.insert(self.outermost(&host));
        }
    }

    /// A host's outermost failure domain that is not the whole cluster's; its name, where it has
    /// none.
    fn outermost(&self, host: &HostId) -> String {
        let Some(known) = self.snapshot.hosts.get(host) else { return host.to_string() };
        let levels = known.domain.levels();
        let shared = |depth: &usize| {
            let mut hosts = self.snapshot.hosts.values();
            hosts.all(|other| other.domain.levels().get(..*depth) == Some(&levels[..*depth]))
        };
        let depth = (1..=levels.len()).find(|depth| !shared(depth));
        depth.map_or_else(|| host.to_string(), |depth| levels[..depth].join("/"))
    }
}
