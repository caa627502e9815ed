//! Who probes whom: a few fixed observers for every host, so that the cost of each and the time to
//! a verdict do not grow with the cluster.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use api::host::Host;
use api::id::HostId;
use api::liveness::{Observe, ObserveTarget};

/// How many observers a host has: a majority of six survives the loss of two.
pub const OBSERVERS: usize = 6;

/// Who probes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observer {
    /// The agent of a host.
    Host(HostId),
    /// A server, by its name.
    Server(String),
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host {host}"),
            Self::Server(name) => write!(f, "server {name}"),
        }
    }
}

/// The list of every observer, made from `form`: its generation, key and times are in all of them.
///
/// Each host is probed by `observers` others, those in the most distant failure domains first and
/// among equally distant ones by rendezvous hash, so that a host that comes or goes changes few
/// lists. Where there are no more than so many others, all of them and the servers probe it.
/// `port` is where agents answer.
#[must_use]
pub fn lists(
    hosts: &BTreeMap<HostId, Host>,
    servers: &[String],
    port: u16,
    observers: usize,
    form: &Observe,
) -> BTreeMap<Observer, Observe> {
    let empty = || Observe { targets: Vec::new(), ..form.clone() };
    let mut lists = BTreeMap::new();
    for host in hosts.keys() {
        lists.insert(Observer::Host(host.clone()), empty());
    }
    for target in hosts.values() {
        let address = SocketAddr::new(target.address.into(), port);
        let mut ranked: Vec<_> = hosts
            .values()
            .filter(|other| other.name != target.name)
            .map(|other| (common_levels(target, other), Reverse(weight(target, other)), other))
            .collect();
        ranked.sort_unstable_by(|a, b| (a.0, a.1, &a.2.name).cmp(&(b.0, b.1, &b.2.name)));
        let few = ranked.len() <= observers;
        let chosen = ranked.into_iter().take(observers).map(|r| Observer::Host(r.2.name.clone()));
        let servers = servers.iter().filter(|_| few).cloned().map(Observer::Server);
        for observer in chosen.chain(servers) {
            let list = lists.entry(observer).or_insert_with(empty);
            list.targets.push(ObserveTarget { host: target.name.clone(), address });
        }
    }
    lists
}

/// How many failure domains two hosts share, from the outermost on.
fn common_levels(a: &Host, b: &Host) -> usize {
    let levels = a.domain.levels().iter().zip(b.domain.levels());
    levels.take_while(|(a, b)| a == b).count()
}

/// How much a host is meant to observe another: the same for ever, evenly distributed. FNV-1a
/// (Fowler, Noll, Vo) over both names, then the finalizer of `SplitMix64`, which spreads names that
/// differ in their last character only.
fn weight(target: &Host, observer: &Host) -> u64 {
    let names = [target.name.as_str().as_bytes(), b"/", observer.name.as_str().as_bytes()];
    let hash = names.concat().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let z = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
