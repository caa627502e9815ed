//! The rules of leases in small worlds: two hosts, leaders that take over from each other, messages
//! that are late, beliefs that are wrong, views that lag. Never do two instances run: in every
//! world of the smallest kind, and on random walks through larger ones. And each rule is needed:
//! left out, two do.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::OnceLock;

use api::id::{AppName, EnvironmentName, InstanceId};
use api::unit::Millis;

use super::*;
use crate::restart::Moment;
use crate::snapshot::Place;

/// How large worlds are.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Ticks that a lease lasts. These clocks agree and killing takes no time: no margin is needed.
    lease: u64,
    /// How many ticks a world lives.
    ticks: u64,
    /// How many instances it has in turn.
    epochs: u32,
    /// How many leaders.
    leaders: usize,
    /// Whether a leader may stand still between what the store says and its decision.
    pauses: bool,
}

const SMALLEST: Bounds = Bounds { lease: 1, ticks: 3, epochs: 2, leaders: 2, pauses: false };
const LARGER: Bounds =
    Bounds { lease: 2, ticks: 12, epochs: MOST_EPOCHS, leaders: 3, pauses: true };
const MOST_EPOCHS: u32 = 6;

/// The clocks of leaders are ahead of that of the world, so that they reach before its begin.
const AHEAD: u64 = 100;

/// The place and its instances, by epoch.
fn names() -> &'static (Place, Vec<InstanceId>) {
    static NAMES: OnceLock<(Place, Vec<InstanceId>)> = OnceLock::new();
    NAMES.get_or_init(|| {
        let place = (EnvironmentName::new("e").unwrap(), AppName::new("a").unwrap());
        let id = |epoch| InstanceId::compose(&place.1, &place.0, u64::from(epoch));
        let ids = (0..=MOST_EPOCHS).map(id).collect();
        (place, ids)
    })
}

fn id(epoch: u32) -> &'static InstanceId {
    &names().1[epoch as usize]
}

/// By what a world goes on.
#[derive(Debug, Clone, Copy)]
struct Game {
    bounds: Bounds,
    fault: Fault,
}

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    None,
    /// The leader does not ask the store whether its term holds.
    Fence,
    /// A new leader does not wait.
    NewLeader,
    /// The planner does not wait for the lease.
    Planner,
    /// The lease counts from the answer's arrival.
    Receipt,
    /// An epoch that was replaced may still be granted.
    Epoch,
    /// A first grant does not wait for the others'.
    Others,
}

/// What is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Documents {
    highest: u32,
    /// By host, the epoch of the instance assigned to it; zero is none.
    entries: [u32; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Host {
    /// Its instance's epoch and deadline.
    runs: Option<(u32, u64)>,
    /// The highest epoch it ever had a lease for.
    ran: u32,
    /// A request under way: when it was sent, for which epoch, and whether that ran.
    request: Option<(u64, u32, bool)>,
    /// A grant under way: when its request was sent, and for which epoch.
    grant: Option<(u64, u32)>,
}

/// A host, when its request came, and the request.
type Asked = (usize, u64, (u64, u32, bool));

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Leader {
    began: u64,
    /// What it granted: instance number (its epoch) and when.
    granted: Vec<(u32, u64)>,
    view: Documents,
    /// Requests that were there when the store said that the term holds.
    asked: Vec<Asked>,
    /// Its plan is half written: the epoch is, the entry is not.
    half: Option<(usize, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    documents: Documents,
    hosts: [Host; 2],
    /// The last one's term is the newest.
    leaders: Vec<Leader>,
}

impl Leader {
    fn new(now: u64, documents: &Documents) -> Self {
        let view = documents.clone();
        Self { began: now, granted: Vec::new(), view, asked: Vec::new(), half: None }
    }

    /// The production table with what this leader knows.
    fn leases(&self, now: u64, game: Game) -> Leases {
        let began = if game.fault == Fault::NewLeader { 0 } else { self.began + AHEAD };
        let mut leases = Leases::new(Moment(began));
        (leases.lease, leases.margin) = (Millis(game.bounds.lease), Millis(0));
        for (epoch, asked) in &self.granted {
            let wish = Wish {
                place: &names().0,
                instance: id(*epoch),
                epoch: *epoch,
                highest: *epoch,
                ran: true,
                asked: Moment(asked + AHEAD),
            };
            leases.grant(&wish).expect("it ran");
        }
        leases.now = Moment(now + AHEAD);
        leases
    }

    fn decide(&self, now: u64, asked: Asked, game: Game) -> bool {
        let (host, came, (_, epoch, ran)) = asked;
        let ran = ran || game.fault == Fault::Others;
        let highest = if game.fault == Fault::Epoch { epoch } else { self.view.highest };
        let wish = Wish {
            place: &names().0,
            instance: id(epoch),
            epoch,
            highest,
            ran,
            asked: Moment(came + AHEAD),
        };
        self.view.entries[host] == epoch && self.leases(now, game).grant(&wish).is_ok()
    }
}

impl World {
    fn new(bounds: Bounds) -> Self {
        let documents = Documents { highest: 1, entries: [1, 0] };
        let first = Host { runs: Some((1, bounds.lease)), ran: 1, ..Host::default() };
        let leader = Leader { granted: vec![(1, 0)], ..Leader::new(0, &documents) };
        Self { now: 0, documents, hosts: [first, Host::default()], leaders: vec![leader] }
    }

    fn running(&self) -> usize {
        self.hosts.iter().filter(|host| host.runs.is_some()).count()
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut world = self.clone();
        change(&mut world);
        world
    }

    /// Everything that can come next.
    fn successors(&self, game: Game) -> Vec<Self> {
        let mut next = Vec::new();
        if self.now < game.bounds.ticks {
            next.push(self.with(Self::tick));
        }
        for at in 0..2 {
            self.of_host(at, game, &mut next);
        }
        for at in 0..self.leaders.len() {
            self.of_leader(at, game, &mut next);
        }
        if self.leaders.len() < game.bounds.leaders {
            // The leader is frozen, cut off or dead; it may still act later.
            let leader = Leader::new(self.now, &self.documents);
            next.push(self.with(|world| world.leaders.push(leader)));
        }
        next
    }

    fn tick(&mut self) {
        self.now += 1;
        for host in &mut self.hosts {
            // The shim's doing, whatever the agent does.
            host.runs = host.runs.filter(|(_, deadline)| *deadline > self.now);
        }
    }

    fn of_host(&self, at: usize, game: Game, next: &mut Vec<Self>) {
        let epoch = self.documents.entries[at];
        let host = &self.hosts[at];
        if epoch > 0 && host.request.is_none() {
            let request = Some((self.now, epoch, host.ran == epoch));
            next.push(self.with(|world| world.hosts[at].request = request));
        }
        if let Some((sent, epoch)) = host.grant {
            let from = if game.fault == Fault::Receipt { self.now } else { sent };
            let until = from + game.bounds.lease;
            next.push(self.with(|world| {
                let host = &mut world.hosts[at];
                host.grant = None;
                host.ran = epoch;
                match &mut host.runs {
                    Some((runs, deadline)) if *runs == epoch => *deadline = until.max(*deadline),
                    // Nothing runs: it starts, if that is still worth it.
                    None if until > world.now => host.runs = Some((epoch, until)),
                    _ => {}
                }
            }));
        }
    }

    fn of_leader(&self, at: usize, game: Game, next: &mut Vec<Self>) {
        let leader = &self.leaders[at];
        let newest = at + 1 == self.leaders.len();
        for (host, known) in self.hosts.iter().enumerate() {
            // The request is here, and the store says that the term holds.
            if let Some(request) = known.request.filter(|_| newest || game.fault == Fault::Fence) {
                let asked = (host, self.now, request);
                let mut world = self.clone();
                world.hosts[host].request = None;
                if game.bounds.pauses {
                    world.leaders[at].asked = vec![asked];
                } else {
                    world.answer(at, asked, game);
                }
                next.push(world);
            }
        }
        if let Some(asked) = leader.asked.first().copied() {
            next.push(self.with(|world| world.answer(at, asked, game)));
        }
        if leader.view != self.documents {
            next.push(self.with(|world| world.leaders[at].view = world.documents.clone()));
        }
        if newest {
            self.plan(at, game, next);
        }
    }

    /// Decides by a view that may lag; what is sent may never arrive.
    fn answer(&mut self, at: usize, asked: Asked, game: Game) {
        let (host, came, (sent, epoch, _)) = asked;
        self.leaders[at].asked.clear();
        if self.leaders[at].decide(self.now, asked, game) {
            let granted = &mut self.leaders[at].granted;
            granted.retain(|(known, at)| *known != epoch || *at > came);
            granted.push((epoch, came));
            granted.sort_unstable();
            self.hosts[host].grant = Some((sent, epoch));
        }
    }

    /// The leader believes the host that has the entry down, rightly or not, and replaces it.
    fn plan(&self, at: usize, game: Game, next: &mut Vec<Self>) {
        let leader = &self.leaders[at];
        if let Some((host, epoch)) = leader.half {
            next.push(self.with(|world| {
                world.documents.entries[host] = epoch;
                world.leaders[at].half = None;
            }));
            return;
        }
        let down = leader.view.entries.iter().position(|epoch| *epoch == leader.view.highest);
        let (Some(down), true) = (down, leader.view == self.documents) else { return };
        let wait = leader.leases(self.now, game).wait(id(leader.view.entries[down]));
        let epoch = leader.view.highest + 1;
        if epoch <= game.bounds.epochs && (wait.0 == 0 || game.fault == Fault::Planner) {
            next.push(self.with(|world| {
                world.documents.highest = epoch;
                world.leaders[at].half = Some((1 - down, epoch));
            }));
        }
    }
}

/// Walks all worlds of the smallest kind; gives how many there are and one with two instances
/// running, if any is.
fn walk(fault: Fault) -> (usize, Option<World>) {
    let game = Game { bounds: SMALLEST, fault };
    let mut seen = HashSet::new();
    let mut open = VecDeque::from([Rc::new(World::new(game.bounds))]);
    while let Some(world) = open.pop_front() {
        if world.running() > 1 {
            return (seen.len(), Some((*world).clone()));
        }
        for next in world.successors(game) {
            let next = Rc::new(next);
            if seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    (seen.len(), None)
}

/// Walks at random through a larger world; gives how often an instance was started and one with
/// two running, if it came to that.
fn stroll(seed: u64, fault: Fault) -> (usize, Option<World>) {
    let game = Game { bounds: LARGER, fault };
    let mut dice = crate::reconcile::Ids::new(seed);
    let (mut world, mut starts) = (World::new(game.bounds), 0);
    for _ in 0..200 {
        let mut next = world.successors(game);
        if next.is_empty() {
            break;
        }
        let choice = usize::try_from(dice.next_number() % next.len() as u64).unwrap();
        let next = next.swap_remove(choice);
        starts += usize::from(next.running() > world.running());
        world = next;
        if world.running() > 1 {
            return (starts, Some(world));
        }
    }
    (starts, None)
}

#[test]
fn in_no_small_world_do_two_run() {
    let (worlds, two) = walk(Fault::None);
    assert_eq!(two, None);
    assert!(worlds > 10_000, "{worlds}");
}

#[test]
fn on_no_walk_do_two_run() {
    let mut starts = 0;
    for seed in 0..2000 {
        let (started, two) = stroll(seed, Fault::None);
        assert_eq!(two, None, "seed {seed}");
        starts += started;
    }
    assert!(starts > 1000, "{starts} starts: nothing was tried");
}

#[test]
fn every_rule_is_needed() {
    use Fault::{Epoch, Fence, NewLeader, Others, Receipt};
    for fault in [Fence, NewLeader, Receipt, Epoch, Others] {
        let found = (0..20_000).find_map(|seed| stroll(seed, fault).1);
        assert!(found.is_some(), "{fault:?}: never two");
    }
    // The granter guards against the planner: what it assigns too soon gets no lease.
    let found = (0..500).find_map(|seed| stroll(seed, Fault::Planner).1);
    assert_eq!(found, None);
}
