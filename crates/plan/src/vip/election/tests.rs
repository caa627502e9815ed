//! Exhaustive small worlds: three candidates on a healthy segment whose messages arrive a tick
//! later, and up to two faults of every kind, at every moment, at every host.

use api::network::VipCandidate;

use super::*;

/// Half a rank's step: messages and timers of neighbours can meet.
const TICK: u64 = 25;
/// Everything is over by then: 1.5 s for the last take-over.
const TICKS: u64 = 160;
const HOSTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Ends without a word and never returns.
    Crash,
    /// Ends without a word and starts again.
    Restart,
    /// Does not run for so many ticks; what was sent to it is read afterwards.
    Freeze(u64),
    /// Its proxy does not answer for so many ticks.
    Unable(u64),
    /// Leaves in order.
    Leave,
}

const FAULTS: [Fault; 7] = [
    Fault::Crash,
    Fault::Restart,
    Fault::Freeze(8),
    Fault::Freeze(22),
    Fault::Freeze(60),
    Fault::Unable(12),
    Fault::Leave,
];

struct Node {
    election: Election,
    state: State,
    frozen_until: u64,
    unable_until: u64,
    gone: bool,
    inbox: Vec<(usize, Advert)>,
    /// Whether the address is on its link, by its effects alone.
    has: bool,
}

struct World {
    nodes: Vec<Node>,
    now: u64,
}

fn vip(priorities: [u8; HOSTS], preempt: bool) -> Vip {
    let candidate = |(n, priority): (usize, u8)| VipCandidate {
        host: HostId::new(format!("h{n}")).unwrap(),
        address: std::net::Ipv4Addr::new(192, 0, 2, u8::try_from(n).unwrap() + 1),
        priority,
    };
    let candidates = priorities.into_iter().enumerate().map(candidate).collect();
    Vip { address: std::net::Ipv4Addr::new(192, 0, 2, 100), preempt, candidates }
}

impl World {
    fn new(priorities: [u8; HOSTS], preempt: bool) -> Self {
        let vip = vip(priorities, preempt);
        let mut nodes: Vec<Node> = (0..HOSTS)
            .map(|n| {
                let host = HostId::new(format!("h{n}")).unwrap();
                let (election, _) = Election::new(&vip, &host).unwrap();
                Node {
                    state: State::new(&election, Millis(0)),
                    election,
                    frozen_until: 0,
                    unable_until: 0,
                    gone: false,
                    inbox: Vec::new(),
                    has: false,
                }
            })
            .collect();
        nodes.sort_by_key(|node| node.election.rank);
        Self { nodes, now: 0 }
    }

    fn strike(&mut self, rank: usize, fault: Fault) {
        let (now, ticks) = (Millis(self.now * TICK), self.now);
        let node = &mut self.nodes[rank];
        match fault {
            Fault::Crash => (node.gone, node.has) = (true, false),
            Fault::Restart => {
                node.state = State::new(&node.election, now);
                node.inbox.clear();
                node.has = false;
            }
            Fault::Freeze(length) => node.frozen_until = ticks + length,
            Fault::Unable(length) => node.unable_until = ticks + length,
            Fault::Leave => {
                let mut sent = Vec::new();
                self.feed(rank, Event::Leave, &mut sent);
                self.deliver(&sent);
                self.nodes[rank].gone = true;
            }
        }
    }

    fn feed(&mut self, rank: usize, event: Event, sent: &mut Vec<(usize, Advert)>) {
        let now = Millis(self.now * TICK);
        let node = &mut self.nodes[rank];
        let (state, effects) = step(&node.election, node.state, event, now);
        node.state = state;
        for effect in effects {
            match effect {
                Effect::Take => {
                    assert!(!node.has);
                    node.has = true;
                }
                Effect::Drop => node.has = false,
                Effect::Announce => assert!(node.has),
                Effect::Send(advert) => sent.push((rank, advert)),
            }
        }
        assert_eq!(node.has, node.state.holds());
    }

    fn deliver(&mut self, sent: &[(usize, Advert)]) {
        for (from, advert) in sent {
            for (rank, node) in self.nodes.iter_mut().enumerate() {
                if rank != *from && !node.gone {
                    node.inbox.push((*from, *advert));
                }
            }
        }
    }

    fn runs(&self, rank: usize) -> bool {
        let node = &self.nodes[rank];
        !node.gone && node.frozen_until <= self.now
    }

    /// One tick: everybody who runs reads what came, then lets time pass.
    fn tick(&mut self) {
        self.now += 1;
        let mut sent = Vec::new();
        for rank in (0..self.nodes.len()).filter(|rank| self.runs(*rank)).collect::<Vec<_>>() {
            for (from, advert) in std::mem::take(&mut self.nodes[rank].inbox) {
                self.feed(rank, Event::Heard(from, advert), &mut sent);
            }
            let able = self.nodes[rank].unable_until <= self.now;
            self.feed(rank, Event::Able(able), &mut sent);
            self.feed(rank, Event::Tick, &mut sent);
        }
        self.deliver(&sent);
    }

    fn holders(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|rank| self.runs(*rank) && self.nodes[*rank].has).collect()
    }
}

/// Runs a world with faults as (tick, rank, fault): never two holders that run, never none for
/// longer than a take-over takes, one at the end if anybody is left.
fn check(priorities: [u8; HOSTS], preempt: bool, faults: &[(u64, usize, Fault)]) {
    let mut world = World::new(priorities, preempt);
    let last = faults.iter().map(|(at, ..)| *at).max().unwrap_or_default();
    // Patience of the last rank, the resignation's wait, and the longest fault.
    for _ in 0..TICKS.max(last + 120) {
        let now = world.now;
        for (_, rank, fault) in faults.iter().filter(|(at, ..)| *at == now) {
            world.strike(*rank, *fault);
        }
        world.tick();
        let holders = world.holders();
        assert!(holders.len() <= 1, "{holders:?} at {now}: {priorities:?} {preempt} {faults:?}");
    }
    let left = world.nodes.iter().any(|node| !node.gone);
    let holders = world.holders();
    assert_eq!(holders.len(), usize::from(left), "{priorities:?} {preempt} {faults:?}");
    if preempt && priorities == [1, 2, 3] {
        let best = (0..HOSTS).find(|rank| !world.nodes[*rank].gone);
        assert_eq!(holders.first().copied(), best, "the preferred one: {faults:?}");
    }
}

#[test]
fn never_two_holders_on_a_healthy_segment() {
    let mut worlds = 0;
    for priorities in [[1, 2, 3], [7, 7, 7]] {
        for preempt in [false, true] {
            check(priorities, preempt, &[]);
            for first in (0..70).step_by(5) {
                for (rank, fault) in (0..HOSTS).flat_map(|rank| FAULTS.map(|fault| (rank, fault))) {
                    check(priorities, preempt, &[(first, rank, fault)]);
                    for second in [first + 1, first + 2, first + 23, first + 31, first + 36] {
                        for (other, next) in
                            (0..HOSTS).flat_map(|rank| FAULTS.map(|fault| (rank, fault)))
                        {
                            let faults = [(first, rank, fault), (second, other, next)];
                            check(priorities, preempt, &faults);
                            worlds += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(worlds > 100_000, "{worlds}");
}

#[test]
fn a_killed_holder_is_followed_within_a_second() {
    for preempt in [false, true] {
        let mut world = World::new([1, 2, 3], preempt);
        while world.holders().is_empty() {
            world.tick();
        }
        world.strike(0, Fault::Crash);
        let killed = world.now;
        while world.holders().is_empty() {
            world.tick();
        }
        assert_eq!(world.holders(), [1]);
        assert!((world.now - killed) * TICK <= 1000);
    }
}

#[test]
fn two_halves_agree_again_when_a_partition_heals() {
    for preempt in [false, true] {
        let mut world = World::new([1, 2, 3], preempt);
        for cut in 0..120 {
            world.tick();
            if cut > 40 {
                world.nodes[2].inbox.clear();
                world.nodes[0].inbox.retain(|(from, _)| *from != 2);
                world.nodes[1].inbox.retain(|(from, _)| *from != 2);
            }
        }
        assert_eq!(world.holders(), [0, 2], "each half has one");
        for _ in 0..20 {
            world.tick();
        }
        assert_eq!(world.holders(), [0], "the better one keeps it");
    }
}

#[test]
fn who_is_no_candidate_has_no_say() {
    let mut vip = vip([1, 2, 3], true);
    assert!(Election::new(&vip, &HostId::new("other").unwrap()).is_none());
    let (election, addresses) = Election::new(&vip, &HostId::new("h1").unwrap()).unwrap();
    assert_eq!((election.rank, addresses[0].octets()[3]), (1, 3));
    vip.candidates = std::iter::repeat_n(vip.candidates[0].clone(), 9).collect();
    assert!(Election::new(&vip, &HostId::new("h0").unwrap()).is_none());
}
