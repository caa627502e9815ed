//! Who probes whom: a few fixed observers for every host, so that the cost of each and the time to
//! a verdict do not grow with the cluster.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use api::host::Host;
use api::id::{HostId, ServerId};
use api::liveness::{Observe, ObserveTarget};
use api::server::Server;

/// How many observers a host has: a majority of six survives the loss of two.
pub const OBSERVERS: usize = 6;

/// Who probes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observer {
    /// The agent of a host.
    Host(HostId),
    /// A server.
    Server(ServerId),
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
/// lists. Where there are no more than so many others, all of them probe it, and so do the servers
/// but one on its own machine: that one falls silent with it, or hears it where nobody else does.
/// `port` is where agents answer.
#[must_use]
pub fn lists(
    hosts: &BTreeMap<HostId, Host>,
    servers: &BTreeMap<ServerId, Server>,
    port: u16,
    observers: usize,
    form: &Observe,
) -> BTreeMap<Observer, Observe> {
    let empty = || Observe { targets: Vec::new(), ..form.clone() };
    let mut lists = BTreeMap::new();
    for host in hosts.keys() {
        lists.insert(Observer::Host(host.clone()), empty());
    }
    let rows = rows(hosts);
    let few = hosts.len() <= observers + 1;
    for target in &rows {
        let address = SocketAddr::new(target.host.address.into(), port);
        let chosen = chosen(target, &rows, observers);
        let chosen = chosen.into_iter().map(|host| Observer::Host(host.name.clone()));
        let elsewhere = servers.values().filter(|server| few && !server.runs_on(target.host));
        let elsewhere = elsewhere.map(|server| Observer::Server(server.name.clone()));
        for observer in chosen.chain(elsewhere) {
            let list = lists.entry(observer).or_insert_with(empty);
            list.targets.push(ObserveTarget { host: target.host.name.clone(), address });
        }
    }
    lists
}

/// A host with what its rank as an observer is made of, so that ranking all against all is cheap.
struct Row<'a> {
    host: &'a Host,
    hash: u64,
    /// Numbers of its failure domains, outermost first.
    levels: Vec<usize>,
}

fn rows(hosts: &BTreeMap<HostId, Host>) -> Vec<Row<'_>> {
    let mut numbers = BTreeMap::new();
    let mut rows = Vec::with_capacity(hosts.len());
    for host in hosts.values() {
        let levels = host.domain.levels().iter().map(|level| {
            let next = numbers.len();
            *numbers.entry(level.as_str()).or_insert(next)
        });
        rows.push(Row { host, levels: levels.collect(), hash: hash(host.name.as_str()) });
    }
    rows
}

/// The best observers of a host, best first.
fn chosen<'a>(target: &Row, rows: &[Row<'a>], observers: usize) -> Vec<&'a Host> {
    let mut best: Vec<((usize, Reverse<u64>), &Host)> = Vec::with_capacity(observers + 1);
    for row in rows.iter().filter(|row| row.host.name != target.host.name) {
        let rank = (common_levels(target, row), Reverse(weight(target, row)));
        if best.len() == observers && best.last().is_some_and(|(worst, _)| *worst <= rank) {
            continue;
        }
        let at = best.partition_point(|(better, _)| *better <= rank);
        best.insert(at, (rank, row.host));
        best.truncate(observers);
    }
    best.into_iter().map(|(_, host)| host).collect()
}

/// How many failure domains two hosts share, from the outermost on.
fn common_levels(a: &Row, b: &Row) -> usize {
    a.levels.iter().zip(&b.levels).take_while(|(a, b)| a == b).count()
}

/// How much a host is meant to observe another: the same for ever, evenly distributed. The
/// finalizer of `SplitMix64` over both hashes.
fn weight(target: &Row, observer: &Row) -> u64 {
    let z = target.hash.rotate_left(32) ^ observer.hash;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a (Fowler, Noll, Vo).
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
