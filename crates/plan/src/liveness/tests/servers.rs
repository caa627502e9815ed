//! Every world of three hosts and two servers apart from them: which links are cut, which hosts are
//! dead, which streams are gone, which server was frozen.

use api::liveness::{Liveness, Silence};
use api::unit::Millis;

use super::verdict::{NOW, World};
use super::*;
use crate::liveness::{Observer, Word};
use crate::restart::Moment;

const HOSTS: usize = 3;
const SERVERS: usize = 2;
/// Between hosts 3, from each server to each host 6.
const LINKS: usize = 9;

#[derive(Debug, Clone, Copy)]
struct Cuts {
    /// Bits of [`link`].
    links: u16,
    /// Hosts without power.
    dead: u8,
    /// Hosts whose stream is gone, beside the dead ones.
    streams: u8,
    /// Servers whose own timer was late.
    late: u8,
    /// Which server judges; its own word crosses no network.
    judge: usize,
}

/// Observers are numbered hosts first.
fn link(observer: usize, host: usize) -> usize {
    match observer {
        server @ HOSTS.. => 3 + (server - HOSTS) * HOSTS + host,
        // 0-1, 0-2, 1-2
        _ => observer + host - 1,
    }
}

impl Cuts {
    fn dead(self, host: usize) -> bool {
        self.dead >> host & 1 == 1
    }

    fn hears(self, observer: usize, host: usize) -> bool {
        let alive = !self.dead(host) && (observer >= HOSTS || !self.dead(observer));
        alive && self.links >> link(observer, host) & 1 == 0
    }

    fn stream(self, host: usize) -> bool {
        !self.dead(host) && self.streams >> host & 1 == 0
    }

    /// Whether an observer's word counts.
    fn counts(self, observer: usize) -> bool {
        let speaks = match observer {
            server @ HOSTS.. => self.late >> (server - HOSTS) & 1 == 0,
            host => self.stream(host),
        };
        speaks && targets(observer).any(|host| self.hears(observer, host))
    }

    fn world(self) -> World {
        let mut world = World::new(HOSTS, SERVERS);
        for observer in 0..HOSTS + SERVERS {
            let silent = targets(observer).filter(|host| !self.hears(observer, *host));
            let silent = silent.map(|n| Silence { host: id(n), silent: Millis(1500) });
            let word = world.words.get_mut(&named(observer)).unwrap();
            word.observed.silent = silent.collect();
            if let Some(server) = observer.checked_sub(HOSTS) {
                word.observed.votes = self.late >> server & 1 == 0;
                word.distant = server != self.judge;
            }
        }
        for n in (0..HOSTS).filter(|n| !self.stream(*n)) {
            world.unheard(n, 5000);
        }
        world
    }
}

fn targets(observer: usize) -> impl Iterator<Item = usize> {
    (0..HOSTS).filter(move |host| *host != observer)
}

fn named(observer: usize) -> Observer {
    match observer.checked_sub(HOSTS) {
        Some(server) => Observer::Server(ServerId::new(format!("s{server}")).unwrap()),
        None => Observer::Host(id(observer)),
    }
}

fn worlds() -> impl Iterator<Item = Cuts> {
    (0..1u16 << LINKS).flat_map(|links| {
        (0..8u8).flat_map(move |dead| {
            (0..8u8).filter(move |streams| streams & dead == 0).flat_map(move |streams| {
                (0..4u8).flat_map(move |late| {
                    (0..SERVERS).map(move |judge| Cuts { links, dead, streams, late, judge })
                })
            })
        })
    })
}

#[test]
fn servers_count_like_hosts_and_what_a_majority_hears_is_never_down() {
    let (mut seen, mut down, mut by_servers) = (0u32, 0u32, 0u32);
    for cuts in worlds() {
        let verdicts = cuts.world().judge();
        for n in 0..HOSTS {
            let others = (0..HOSTS + SERVERS).filter(|observer| *observer != n);
            let voters: Vec<usize> = others.filter(|o| cuts.counts(*o)).collect();
            let hear = voters.iter().filter(|voter| cuts.hears(**voter, n)).count();
            let expected = if cuts.stream(n) {
                Liveness::Alive
            } else if voters.len() > hear * 2 {
                Liveness::Down
            } else {
                Liveness::CutOff
            };
            assert_eq!(verdicts.hosts[&id(n)].liveness, expected, "host {n} in {cuts:?}");
            down += u32::from(expected == Liveness::Down);
            let only_servers = voters.iter().all(|voter| *voter >= HOSTS);
            by_servers += u32::from(expected == Liveness::Down && only_servers);
        }
        seen += 1;
    }
    assert!(seen > 50_000 && down > 10_000 && by_servers > 1_000, "{seen} {down} {by_servers}");
}

#[test]
fn two_of_three_hosts_lost_at_once_are_found_where_servers_stand_apart() {
    for cuts in worlds().filter(|cuts| cuts.links == 0 && cuts.streams == 0 && cuts.late == 0) {
        let verdicts = cuts.world().judge();
        for n in 0..HOSTS {
            let expected = match (cuts.dead(n), cuts.dead) {
                (false, _) => Liveness::Alive,
                // Nobody hears anybody: it may be us.
                (true, 0b111) => Liveness::CutOff,
                (true, _) => Liveness::Down,
            };
            assert_eq!(verdicts.hosts[&id(n)].liveness, expected, "host {n} in {cuts:?}");
        }
    }
    let mut none = World::new(HOSTS, 0);
    for n in 0..2 {
        none.unheard(n, 5000);
        let word = none.words.get_mut(&Observer::Host(id(2))).unwrap();
        word.observed.silent.push(Silence { host: id(n), silent: Millis(1500) });
    }
    assert_eq!(none.judge().hosts[&id(0)].liveness, Liveness::CutOff, "no servers, no voter");
}

#[test]
fn a_server_that_fell_silent_does_not_vote_whatever_it_said_last() {
    let mut world = World::new(HOSTS, SERVERS);
    for n in 0..2 {
        world.unheard(n, 5000);
    }
    let spoil = |world: &mut World, change: &dyn Fn(&mut Word)| {
        for observer in 2..HOSTS + SERVERS {
            let word = world.words.get_mut(&named(observer)).unwrap();
            let silent = (0..2).map(|n| Silence { host: id(n), silent: Millis(1500) });
            word.observed.silent = silent.collect();
            change(word);
        }
    };
    spoil(&mut world, &|_| ());
    assert_eq!(world.judge().hosts[&id(0)].liveness, Liveness::Down);
    spoil(&mut world, &|word| word.heard = Moment(NOW.0 - 750));
    assert_eq!(world.judge().hosts[&id(0)].liveness, Liveness::CutOff);
}
