//! Single verdicts.

use api::liveness::{Liveness, Observed, ProbeTimes, Silence};
use api::unit::Millis;

use super::*;
use crate::liveness::{
    Evidence, HostEvidence, OBSERVERS, Observer, Reason, Verdicts, Word, judge, lists,
};
use crate::restart::Moment;

/// A cluster at t = 100 s; hosts were heard just now, observers hear everybody.
pub(super) struct World {
    pub(super) seen: BTreeMap<HostId, HostEvidence>,
    pub(super) lists: BTreeMap<Observer, Observe>,
    pub(super) words: BTreeMap<Observer, Word>,
}

pub(super) const NOW: Moment = Moment(100_000);

impl World {
    pub(super) fn new(count: usize, apart: usize) -> Self {
        let hosts = (0..count).map(|n| host(n, "")).collect();
        let lists = lists(&hosts, &servers(apart), 7444, OBSERVERS, &form());
        let seen = hosts.keys().map(|h| (h.clone(), HostEvidence { heard: NOW, down: false }));
        let word = Word {
            heard: NOW,
            observed: Observed { generation: Generation(7), silent: vec![], votes: true },
            distant: true,
        };
        let words = lists.keys().map(|observer| (observer.clone(), word.clone())).collect();
        Self { seen: seen.collect(), lists, words }
    }

    /// No server has heard the host for so long.
    pub(super) fn unheard(&mut self, n: usize, ms: u64) {
        let heard = Moment(NOW.0 - ms);
        self.seen.get_mut(&id(n)).unwrap().heard = heard;
        if let Some(word) = self.words.get_mut(&Observer::Host(id(n))) {
            word.heard = heard;
        }
    }

    /// An observer says that a host is silent.
    pub(super) fn silent(&mut self, observer: usize, n: usize, ms: u64) {
        let word = self.words.get_mut(&Observer::Host(id(observer))).unwrap();
        word.observed.silent.retain(|known| known.host != id(n));
        word.observed.silent.push(Silence { host: id(n), silent: Millis(ms) });
    }

    pub(super) fn judge(&self) -> Verdicts {
        self.with(judge)
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&Evidence) -> T) -> T {
        look(&Evidence {
            now: NOW,
            hosts: &self.seen,
            lists: &self.lists,
            words: &self.words,
            times: ProbeTimes::default(),
        })
    }

    fn of(&self, n: usize) -> Liveness {
        self.judge().hosts[&id(n)].liveness
    }
}

#[test]
fn suspect_then_down_when_streams_and_observers_agree() {
    let mut world = World::new(4, 0);
    for (unheard, silence, expected) in [
        (700, 1500, Liveness::Alive),
        (800, 0, Liveness::CutOff),
        (800, 750, Liveness::Suspect),
        (1499, 1500, Liveness::Suspect),
        (1500, 1499, Liveness::Suspect),
        (1500, 1500, Liveness::Down),
    ] {
        world.unheard(0, unheard);
        for observer in 1..4 {
            world.silent(observer, 0, silence);
        }
        assert_eq!(world.of(0), expected, "{unheard} {silence}");
    }
}

#[test]
fn it_looks_again_at_the_next_mark() {
    let mut world = World::new(3, 0);
    assert_eq!(world.judge().wake_at, Some(Moment(100_750)));
    world.unheard(0, 800);
    assert_eq!(world.judge().wake_at, Some(Moment(100_700)));
    let mut alone = World::new(1, 0);
    alone.unheard(0, 5000);
    assert_eq!(alone.judge().wake_at, None, "nothing more can follow");
}

#[test]
fn a_lone_host_and_a_server_that_hears_nobody_take_nobody_for_dead() {
    let mut alone = World::new(1, 0);
    alone.unheard(0, 60_000);
    assert_eq!(alone.of(0), Liveness::CutOff);
    let mut all = World::new(5, 0);
    for n in 0..5 {
        all.unheard(n, 60_000);
        for observer in (0..5).filter(|observer| *observer != n) {
            all.silent(observer, n, 60_000);
        }
    }
    let verdicts = all.judge();
    assert!(verdicts.hosts.values().all(|v| v.liveness == Liveness::CutOff));
    let reason = Reason::NoWord { unheard: Millis(60_000) };
    assert!(verdicts.hosts.values().all(|v| v.reason == reason));
}

#[test]
fn late_blind_and_outdated_observers_do_not_vote() {
    let dead = |spoil: &dyn Fn(&mut Word)| {
        let mut world = World::new(4, 0);
        world.unheard(0, 2000);
        for observer in 1..4 {
            world.silent(observer, 0, 1500);
            let word = world.words.get_mut(&Observer::Host(id(observer))).unwrap();
            spoil(word);
        }
        world.of(0)
    };
    assert_eq!(dead(&|_| ()), Liveness::Down);
    assert_eq!(dead(&|word| word.observed.votes = false), Liveness::CutOff);
    assert_eq!(dead(&|word| word.observed.generation = Generation(6)), Liveness::CutOff);
    assert_eq!(dead(&|word| word.heard = Moment(NOW.0 - 750)), Liveness::CutOff);
    let blind = |word: &mut Word| {
        let all = (0..4).map(|n| Silence { host: id(n), silent: Millis(1500) });
        word.observed.silent = all.collect();
    };
    assert_eq!(dead(&blind), Liveness::CutOff);
}

#[test]
fn of_two_hosts_the_other_votes_when_its_stream_crosses_a_network() {
    let mut world = World::new(2, 0);
    world.unheard(0, 2000);
    world.silent(1, 0, 1500);
    assert_eq!(world.of(0), Liveness::Down);
    world.words.get_mut(&Observer::Host(id(1))).unwrap().distant = false;
    assert_eq!(world.of(0), Liveness::CutOff, "its own network may be what is lost");
}

#[test]
fn one_taken_for_dead_stays_so_until_a_server_hears_it() {
    let mut world = World::new(4, 0);
    world.unheard(0, 5000);
    world.seen.get_mut(&id(0)).unwrap().down = true;
    assert_eq!(world.of(0), Liveness::Down, "though all observers hear it");
    world.unheard(0, 100);
    assert_eq!(world.of(0), Liveness::Alive);
}

#[test]
fn half_of_the_observers_are_not_a_majority() {
    let mut world = World::new(5, 0);
    world.unheard(0, 2000);
    for observer in 1..3 {
        world.silent(observer, 0, 1500);
    }
    assert_eq!(world.of(0), Liveness::CutOff);
    world.silent(3, 0, 1500);
    assert_eq!(world.of(0), Liveness::Down);
}
