//! One observer's memory: whom it probes, who answered when, and what there is to say. Total and
//! without a clock; whoever owns the socket drives it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use api::id::HostId;
use api::liveness::{Observe, Observed, ProbeTimes, Silence};
use api::unit::Millis;

use crate::restart::Moment;

/// A target that owes an answer is probed so many times as often: under the loss of half of all
/// round trips, 750 ms of silence by chance then take 11 lost ones instead of five.
const HASTE: u64 = 3;

/// A timer that is late by so many probes means that this observer slept; silence it "saw" is its
/// own.
const LATE_PROBES: u64 = 2;

/// Probes its list and remembers who answered.
#[derive(Debug, Clone)]
pub struct Prober {
    list: Observe,
    targets: BTreeMap<HostId, Target>,
    ticked: Moment,
    /// Until when its word does not count.
    mute_until: Moment,
    said: Option<Observed>,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    address: SocketAddr,
    /// The last answer, or since when one is waited for.
    heard: Moment,
    /// The last probe.
    probed: Option<Moment>,
}

impl Prober {
    /// A prober of nobody.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            list: Observe::default(),
            targets: BTreeMap::new(),
            ticked: now,
            mute_until: now.after(ProbeTimes::default().suspect),
            said: None,
        }
    }

    /// Takes a list. What is known of targets that stay is kept.
    pub fn take(&mut self, list: Observe, now: Moment) {
        self.wake(now);
        let mut known = std::mem::take(&mut self.targets);
        for target in &list.targets {
            let before = known.remove(&target.host).filter(|old| old.address == target.address);
            let fresh = Target { address: target.address, heard: now, probed: None };
            self.targets.insert(target.host.clone(), before.unwrap_or(fresh));
        }
        self.list = list;
    }

    /// The list it has.
    #[must_use]
    pub fn list(&self) -> &Observe {
        &self.list
    }

    /// How often [`Self::tick`] is to be called.
    #[must_use]
    pub fn tick_every(&self) -> Millis {
        Millis((self.list.times.every.0 / HASTE).max(1))
    }

    /// The targets to probe now.
    pub fn tick(&mut self, now: Moment) -> Vec<(HostId, SocketAddr)> {
        self.wake(now);
        self.ticked = now;
        let every = self.list.times.every;
        // A timer that is a little early is in time.
        let slack = self.tick_every().0 / 2;
        let mut due = Vec::new();
        for (host, target) in &mut self.targets {
            let owes = now.since(target.heard).0 > every.0 + slack;
            let wait = if owes { every.0 / HASTE } else { every.0 };
            if target.probed.is_none_or(|probed| now.since(probed).0 + slack >= wait) {
                target.probed = Some(now);
                due.push((host.clone(), target.address));
            }
        }
        due
    }

    /// Notes that a target answered.
    pub fn answered(&mut self, host: &HostId, now: Moment) {
        self.wake(now);
        if self.targets.contains_key(host) && self.is_blind(now) {
            self.begin_anew(now);
        }
        if let Some(target) = self.targets.get_mut(host) {
            target.heard = now;
        }
    }

    /// Whether it hears nobody of several: the fault is rather its own, and what it hears next may
    /// be the first that gets through of all.
    fn is_blind(&self, now: Moment) -> bool {
        let suspect = self.list.times.suspect;
        self.targets.len() > 1 && self.targets.values().all(|t| now.since(t.heard) >= suspect)
    }

    /// What there is to say now that was not said before.
    pub fn news(&mut self, now: Moment) -> Option<Observed> {
        self.wake(now);
        let mut silent = Vec::new();
        for (host, target) in &self.targets {
            if let Some(silence) = self.mark(now.since(target.heard)) {
                silent.push(Silence { host: host.clone(), silent: silence });
            }
        }
        let votes = now >= self.mute_until;
        let observed = Observed { generation: self.list.generation, silent, votes };
        if self.said.as_ref() == Some(&observed) {
            return None;
        }
        self.said = Some(observed.clone());
        Some(observed)
    }

    /// The longest of the lists' marks that a silence has reached.
    fn mark(&self, silence: Millis) -> Option<Millis> {
        let times = self.list.times;
        [times.down, times.suspect].into_iter().find(|mark| silence >= *mark)
    }

    /// Forgets silences that this observer slept through.
    fn wake(&mut self, now: Moment) {
        if now.since(self.ticked).0 <= LATE_PROBES * self.list.times.every.0 {
            return;
        }
        self.begin_anew(now);
    }

    /// Forgets all silences; its word does not count until it could have found new ones.
    fn begin_anew(&mut self, now: Moment) {
        self.ticked = now;
        self.mute_until = now.after(self.list.times.suspect);
        for target in self.targets.values_mut() {
            target.heard = now;
        }
    }
}
