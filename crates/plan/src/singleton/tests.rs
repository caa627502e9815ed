//! The rules of leases in every small world: two hosts, leaders that take over from each other,
//! messages that are late, beliefs that are wrong, views that lag. Never do two instances run; and
//! each rule is needed: left out, two do.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::OnceLock;

use api::id::{AppName, EnvironmentName, InstanceId};
use api::unit::Millis;

use super::*;
use crate::restart::Moment;
use crate::snapshot::Place;

/// Ticks that a lease lasts. These clocks agree and killing takes no time: no margin is needed.
const LEASE: u64 = 1;

/// How many ticks a world lives, and how many instances it has in turn.
const TICKS: u64 = 3;
const EPOCHS: u32 = 2;

/// The clocks of leaders are ahead of that of the world, so that they reach before its begin.
const AHEAD: u64 = 100;

/// The place and its instances, by epoch.
fn names() -> &'static (Place, Vec<InstanceId>) {
    static NAMES: OnceLock<(Place, Vec<InstanceId>)> = OnceLock::new();
    NAMES.get_or_init(|| {
        let place = (EnvironmentName::new("e").unwrap(), AppName::new("a").unwrap());
        let id = |epoch| InstanceId::compose(&place.1, &place.0, u64::from(epoch));
        let ids = (0..=EPOCHS).map(id).collect();
        (place, ids)
    })
}

fn id(epoch: u32) -> &'static InstanceId {
    &names().1[epoch as usize]
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

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Leader {
    began: u64,
    /// What it granted: instance number (its epoch) and when.
    granted: Vec<(u32, u64)>,
    view: Documents,
    /// Requests that were there when the store said that the term holds: host, when they came,
    /// and the request.
    asked: Vec<(usize, u64, (u64, u32, bool))>,
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
    fn leases(&self, now: u64, fault: Fault) -> Leases {
        let began = if fault == Fault::NewLeader { 0 } else { self.began + AHEAD };
        let mut leases = Leases::new(Moment(began));
        (leases.lease, leases.margin) = (Millis(LEASE), Millis(0));
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

    fn decide(&self, now: u64, asked: (usize, u64, (u64, u32, bool)), fault: Fault) -> bool {
        let (host, came, (_, epoch, ran)) = asked;
        let ran = ran || fault == Fault::Others;
        let highest = if fault == Fault::Epoch { epoch } else { self.view.highest };
        let wish = Wish {
            place: &names().0,
            instance: id(epoch),
            epoch,
            highest,
            ran,
            asked: Moment(came + AHEAD),
        };
        self.view.entries[host] == epoch && self.leases(now, fault).grant(&wish).is_ok()
    }
}

impl World {
    fn new() -> Self {
        let documents = Documents { highest: 1, entries: [1, 0] };
        let first = Host { runs: Some((1, LEASE)), ran: 1, ..Host::default() };
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
    fn successors(&self, fault: Fault) -> Vec<Self> {
        let mut next = Vec::new();
        if self.now < TICKS {
            next.push(self.with(Self::tick));
        }
        for at in 0..2 {
            self.of_host(at, fault, &mut next);
        }
        for at in 0..self.leaders.len() {
            self.of_leader(at, fault, &mut next);
        }
        if self.leaders.len() < 2 {
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

    fn of_host(&self, at: usize, fault: Fault, next: &mut Vec<Self>) {
        let epoch = self.documents.entries[at];
        let host = &self.hosts[at];
        if epoch > 0 && host.request.is_none() {
            let request = Some((self.now, epoch, host.ran == epoch));
            next.push(self.with(|world| world.hosts[at].request = request));
        }
        if let Some((sent, epoch)) = host.grant {
            let from = if fault == Fault::Receipt { self.now } else { sent };
            let until = from + LEASE;
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

    fn of_leader(&self, at: usize, fault: Fault, next: &mut Vec<Self>) {
        let leader = &self.leaders[at];
        let newest = at + 1 == self.leaders.len();
        for (host, known) in self.hosts.iter().enumerate() {
            // The request is here, and the store says that the term holds.
            if let Some(request) = known.request.filter(|_| newest || fault == Fault::Fence) {
                next.push(self.with(|world| {
                    world.hosts[host].request = None;
                    world.leaders[at].asked = vec![(host, world.now, request)];
                }));
            }
        }
        if let Some(asked) = leader.asked.first().copied() {
            // Decided later, by a view that may lag; what is sent may be lost.
            let granted = leader.decide(self.now, asked, fault);
            next.push(self.with(|world| {
                let (host, came, (sent, epoch, _)) = asked;
                world.leaders[at].asked.clear();
                if granted {
                    let granted = &mut world.leaders[at].granted;
                    granted.retain(|(known, at)| *known != epoch || *at > came);
                    granted.push((epoch, came));
                    granted.sort_unstable();
                    world.hosts[host].grant = Some((sent, epoch));
                }
            }));
        }
        if leader.view != self.documents {
            next.push(self.with(|world| world.leaders[at].view = world.documents.clone()));
        }
        if newest {
            self.plan(at, fault, next);
        }
    }

    /// The leader believes the host that has the entry down, rightly or not, and replaces it.
    fn plan(&self, at: usize, fault: Fault, next: &mut Vec<Self>) {
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
        let wait = leader.leases(self.now, fault).wait(id(leader.view.entries[down]));
        let epoch = leader.view.highest + 1;
        if epoch <= EPOCHS && (wait.0 == 0 || fault == Fault::Planner) {
            next.push(self.with(|world| {
                world.documents.highest = epoch;
                world.leaders[at].half = Some((1 - down, epoch));
            }));
        }
    }
}

/// Walks all worlds; gives how many there are and one with two instances running, if any is.
fn walk(fault: Fault) -> (usize, Option<World>) {
    let mut seen = HashSet::new();
    let mut open = VecDeque::from([Rc::new(World::new())]);
    while let Some(world) = open.pop_front() {
        if world.running() > 1 {
            return (seen.len(), Some((*world).clone()));
        }
        for next in world.successors(fault) {
            let next = Rc::new(next);
            if seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    (seen.len(), None)
}

#[test]
fn in_no_small_world_do_two_run() {
    let (worlds, two) = walk(Fault::None);
    assert_eq!(two, None);
    println!("{worlds}");
    assert!(worlds > 10_000, "{worlds}");
}

#[test]
fn every_rule_is_needed() {
    use Fault::{Epoch, Fence, NewLeader, Others, Planner, Receipt};
    for fault in [Fence, NewLeader, Planner, Receipt, Epoch, Others] {
        let (worlds, two) = walk(fault);
        println!("{fault:?}: {worlds} {two:?}");
        assert!(two.is_some(), "{fault:?}: {worlds} worlds and never two");
    }
}
