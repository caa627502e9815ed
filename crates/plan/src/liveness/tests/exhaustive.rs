//! Every world of four hosts: which links between them are cut in which direction, which hosts are
//! dead, which streams are gone; and then every single observer lies.

use api::liveness::{Liveness, Silence};
use api::unit::Millis;

use super::verdict::World;
use super::*;
use crate::liveness::Observer;

const HOSTS: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Cuts {
    /// Bit `from * HOSTS + to`: packets that way are lost.
    links: u16,
    /// Hosts without power.
    dead: u8,
    /// Hosts whose stream is gone, beside the dead ones.
    streams: u8,
}

impl Cuts {
    fn dead(self, n: usize) -> bool {
        self.dead >> n & 1 == 1
    }

    /// Whether a probe and its answer arrive.
    fn hears(self, a: usize, b: usize) -> bool {
        let passes = |from: usize, to: usize| self.links >> (from * HOSTS + to) & 1 == 0;
        !self.dead(a) && !self.dead(b) && passes(a, b) && passes(b, a)
    }

    fn stream(self, n: usize) -> bool {
        !self.dead(n) && self.streams >> n & 1 == 0
    }

    /// Observers whose word counts on any host.
    fn counts(self, n: usize) -> bool {
        self.stream(n) && (0..HOSTS).any(|other| other != n && self.hears(n, other))
    }

    fn world(self) -> World {
        let mut world = World::new(HOSTS, 0);
        for n in 0..HOSTS {
            if !self.stream(n) {
                world.unheard(n, 5000);
            }
            let silent = (0..HOSTS).filter(|other| *other != n && !self.hears(n, *other));
            let silent = silent.map(|n| Silence { host: id(n), silent: Millis(1500) });
            let word = world.words.get_mut(&Observer::Host(id(n))).unwrap();
            word.observed.silent = silent.collect();
        }
        world
    }
}

/// All links whole or cut both ways (2⁶), times all cut in one direction of up to one more link.
fn worlds() -> impl Iterator<Item = Cuts> {
    let pairs: Vec<(usize, usize)> =
        (0..HOSTS).flat_map(|a| (a + 1..HOSTS).map(move |b| (a, b))).collect();
    let bit = |from: usize, to: usize| 1u16 << (from * HOSTS + to);
    let mut links = Vec::new();
    for code in 0..1u16 << pairs.len() {
        let cut = pairs.iter().enumerate().filter(|(n, _)| code >> n & 1 == 1);
        let both = cut.fold(0, |links, (_, (a, b))| links | bit(*a, *b) | bit(*b, *a));
        links.push(both);
        for (a, b) in &pairs {
            links.extend([both | bit(*a, *b), both | bit(*b, *a)]);
        }
    }
    links.sort_unstable();
    links.dedup();
    links.into_iter().flat_map(|links| {
        (0..16u8).flat_map(move |dead| {
            (0..16u8).filter(move |streams| streams & dead == 0).map(move |streams| Cuts {
                links,
                dead,
                streams,
            })
        })
    })
}

#[test]
fn every_small_world_is_judged_as_the_definition_says() {
    let (mut seen, mut down) = (0u32, 0u32);
    for cuts in worlds() {
        let verdicts = cuts.world().judge();
        for n in 0..HOSTS {
            let voters: Vec<usize> = (0..HOSTS).filter(|o| *o != n && cuts.counts(*o)).collect();
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
        }
        seen += 1;
    }
    assert!(seen > 10_000 && down > 1_000, "{seen} worlds, {down} down");
}

/// Whatever a single observer says: three honest ones who agree are not overruled.
#[test]
fn no_single_observer_kills_or_saves_against_the_word_of_the_others() {
    let mut lies = 0u32;
    for cuts in worlds().filter(|cuts| cuts.links == 0) {
        let honest = cuts.world();
        let before = honest.judge();
        for liar in 0..HOSTS {
            for code in 0..1u8 << HOSTS {
                let mut world = cuts.world();
                let word = world.words.get_mut(&Observer::Host(id(liar))).unwrap();
                let silent = (0..HOSTS).filter(|n| *n != liar && code >> n & 1 == 1);
                let silent = silent.map(|n| Silence { host: id(n), silent: Millis(1500) });
                word.observed.silent = silent.collect();
                let after = world.judge();
                for n in (0..HOSTS).filter(|n| *n != liar) {
                    let others = (0..HOSTS).filter(|o| *o != n && *o != liar);
                    if others.filter(|o| cuts.counts(*o)).count() < 2 {
                        continue;
                    }
                    let verdicts = [&before, &after].map(|v| v.hosts[&id(n)].liveness);
                    assert_eq!(verdicts[0], verdicts[1], "{liar} on {n} in {cuts:?}: {code:b}");
                    lies += 1;
                }
            }
        }
    }
    assert!(lies > 1_000, "{lies} lies");
}
