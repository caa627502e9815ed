//! From which hosts a host may fetch an image that it lacks, and so whom those let in.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use api::digest::Digest;
use api::id::HostId;
use api::release::Image;
use api::warm::{MAX_SOURCES, Source, Warm};

use super::Standby;
use crate::snapshot::Snapshot;

/// Every host's list.
pub type Lists = BTreeMap<HostId, Warm>;

/// Every host's list, without generations. `port` is where agents give layers.
#[must_use]
pub fn lists(snapshot: &Snapshot, standby: &Standby, port: u16) -> Lists {
    let mut holders: BTreeMap<&Digest, Vec<&HostId>> = BTreeMap::new();
    for (host, status) in &snapshot.statuses {
        if snapshot.is_reachable(host) {
            for digest in &status.images {
                holders.entry(digest).or_default().push(host);
            }
        }
    }
    let mut lists: Lists =
        snapshot.hosts.keys().map(|host| (host.clone(), Warm::default())).collect();
    for (host, wanted) in wanted(snapshot, standby) {
        let has = snapshot.statuses.get(host).map(|status| &status.images);
        for digest in wanted {
            if has.is_some_and(|has| has.binary_search(digest).is_ok()) {
                continue;
            }
            for source in nearest(host, digest, holders.get(digest)) {
                let Some(known) = snapshot.hosts.get(source) else { continue };
                let address = SocketAddr::from((known.address, port));
                if let Some(list) = lists.get_mut(host) {
                    let sources = list.sources.entry(digest.clone()).or_default();
                    sources.push(Source { host: source.clone(), address });
                }
                if let Some(list) = lists.get_mut(source) {
                    list.askers.entry(digest.clone()).or_default().push(host.clone());
                }
            }
        }
    }
    for (host, images) in &standby.hosts {
        if let Some(list) = lists.get_mut(host) {
            list.images.clone_from(images);
        }
    }
    lists
}

/// What each host is to have: the images of what it is to run, and those ahead of need.
fn wanted<'a>(
    snapshot: &'a Snapshot,
    standby: &'a Standby,
) -> BTreeMap<&'a HostId, BTreeSet<&'a Digest>> {
    let mut wanted: BTreeMap<&HostId, BTreeSet<&Digest>> = BTreeMap::new();
    for (host, entry) in snapshot.entries().filter(|(host, _)| !snapshot.is_down(host)) {
        if let Some(image) = snapshot.images.get(&(entry.app.clone(), entry.release)) {
            wanted.entry(host).or_default().insert(&image.digest);
        }
    }
    for (host, images) in &standby.hosts {
        wanted.entry(host).or_default().extend(images.iter().map(|image: &Image| &image.digest));
    }
    wanted
}

/// The holders that a host is sent to: a few, other ones for every host, so that askers spread.
fn nearest<'a>(
    host: &HostId,
    digest: &Digest,
    holders: Option<&Vec<&'a HostId>>,
) -> Vec<&'a HostId> {
    let others = holders.into_iter().flatten().copied().filter(|holder| *holder != host);
    let rank = |holder: &HostId| {
        // With its fixed keys, so that the same lists come out everywhere.
        let mut hash = DefaultHasher::new();
        (host, digest, holder).hash(&mut hash);
        hash.finish()
    };
    let mut ranked: Vec<(u64, &HostId)> = others.map(|holder| (rank(holder), holder)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(MAX_SOURCES).map(|(_, holder)| holder).collect()
}
