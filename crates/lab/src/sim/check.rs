//! What must hold, looked at after every change: of the store's documents, and of containers.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use api::assignment::{Assignment, Entry, Wanted};
use api::deployment::Deployment;
use api::host::Host;
use api::id::{AppName, EnvironmentName, HostId, InstanceId};
use api::release::Release;
use plan::liveness::safe_mode;
use server::core::Kind as Document;
use store::document::Document as Stored;
use store::{EventKind, Op, Target, Txn, WatchBatch};

use super::fault::Faults;
use super::machine::Container;
use super::place::NodeId;
use super::world::World;

/// What a planner saw may be so old when its write arrives.
const STALE: u64 = 4_000;

/// A planner's write arrives so long after it saw the cluster where the network is well.
const ON_ITS_WAY: u64 = 300;

/// An address is not given to another app for so long, but for what writing takes.
const COOL: i64 = 300_000 - 2_000;

/// In safe mode so many may be replaced within the span.
const BUDGET: (usize, u64) = (10, 10_000);

/// After the last table with an instance was taken out of use, it is left alone so long; less a
/// turn, in which reports travel.
const SETTLE: u64 = 500 - 2 * super::world::TURN;

type Place = (EnvironmentName, AppName);

/// What was wanted of an app since when.
#[derive(Debug, Clone, Copy, Default)]
struct Goal {
    at: u64,
    instances: u32,
    surge: u32,
    unavailable: u32,
}

/// What the store says, and what was seen of it.
pub(super) struct Check {
    pub(super) hosts: BTreeMap<HostId, Host>,
    /// When hosts that were taken for dead were back.
    back: BTreeMap<HostId, u64>,
    pub(super) assignments: BTreeMap<HostId, Assignment>,
    pub(super) deployments: BTreeMap<Place, Deployment>,
    pub(super) releases: BTreeMap<(AppName, u32), Release>,
    goals: BTreeMap<Place, Vec<Goal>>,
    /// Whose each address was last, and when it was given back, by the clock of who did.
    given_back: BTreeMap<Ipv4Addr, (Place, i64)>,
    /// Replacements in safe mode.
    replaced: VecDeque<(u64, usize)>,
    term: Vec<u8>,
    term_since: u64,
    /// Containers that were healthy a short while ago.
    healthy: BTreeMap<String, u64>,
    died: BTreeMap<String, u64>,
    pub(super) violations: Vec<String>,
}

/// Whether an operation only shows that a leader lives.
pub(super) fn is_beat(op: &Op) -> bool {
    matches!(op, Op::Put { key, .. } if key == "leader/beat".as_bytes())
}

/// A transaction was done.
pub(super) fn committed(world: &mut World, node: NodeId, txn: &Txn, changes: &[WatchBatch]) {
    fenced(world, node, txn);
    for batch in changes {
        // A deployment says little without its release.
        let is_release = |event: &&store::Event| event.kv.key.starts_with(b"release/");
        let releases = batch.events.iter().filter(is_release);
        let others = batch.events.iter().filter(|event| !is_release(event));
        for event in releases.chain(others) {
            let key = String::from_utf8_lossy(&event.kv.key).into_owned();
            let gone = event.kind == EventKind::Delete;
            let value = (!gone).then_some(&event.kv.value);
            match key.split_once('/').map_or("", |(kind, _)| kind) {
                "assignment" => {
                    if let Some(new) = value.and_then(read::<Assignment>) {
                        assigned(world, node, &new);
                    }
                }
                "host" => {
                    if let Some(host) = value.and_then(read::<Host>) {
                        heard_of(world, &host);
                    }
                }
                "status" => {
                    if let Some(status) = value.and_then(read::<api::status::HostStatus>) {
                        let states: Vec<String> = status
                            .instances
                            .iter()
                            .map(|one| format!("{} {:?}", one.instance, one.state))
                            .collect();
                        let line = format!("{} reports {}", status.host, states.join(", "));
                        world.trace.note(world.now, &line);
                    }
                }
                "deployment" => deployed(world, &key, value.and_then(read::<Deployment>)),
                "release" => {
                    if let Some(release) = value.and_then(read::<Release>) {
                        let key = (release.app.clone(), release.number.0);
                        world.check.releases.insert(key, release);
                    }
                }
                "leader" if key == "leader/term" => {
                    world.check.term = event.kv.value.to_vec();
                    world.check.term_since = world.now;
                    let term = String::from_utf8_lossy(&event.kv.value).into_owned();
                    world.trace.note(world.now, &format!("leads: {term}"));
                }
                _ => {}
            }
        }
    }
}

fn read<T: Document>(bytes: &bytes::Bytes) -> Option<T> {
    Stored::<T>::decode(&T::SCHEMA, bytes).ok().map(|document| document.body)
}

/// A leader's write carries the term that is in force.
fn fenced(world: &mut World, node: NodeId, txn: &Txn) {
    for compare in txn.compares.iter().filter(|compare| compare.key == "leader/term".as_bytes()) {
        if let Target::Value(term) = &compare.target
            && *term != world.check.term
        {
            let name = world.shape.name(node);
            world.violation(&format!("{name} wrote in a term that is over"));
        }
    }
}

impl World {
    pub(super) fn violation(&mut self, what: &str) {
        self.trace.note(self.now, &format!("VIOLATION: {what}"));
        let at = self.now;
        self.check.violations.push(format!("{:.3} s: {what}", at as f64 / 1000.0));
    }

    /// Notes who is healthy now.
    pub(super) fn look_at_containers(&mut self) {
        let now = self.now;
        for machine in &self.machines {
            machine.each(|name, container| {
                if is_healthy(container, now) {
                    self.check.healthy.insert(name.to_owned(), now);
                }
            });
        }
        self.check.healthy.retain(|_, at| *at + STALE >= now);
    }
}

fn is_healthy(container: &Container, now: u64) -> bool {
    container.dead.is_none() && container.healthy_at <= now
}

fn place_of(entry: &Entry) -> Place {
    (entry.environment.clone(), entry.app.clone())
}

fn deployed(world: &mut World, key: &str, new: Option<Deployment>) {
    let check = &mut world.check;
    let Some(new) = new else {
        let gone = check.deployments.keys().find(|(environment, app)| {
            key == format!("deployment/{environment}/{app}")
                || key == format!("deployment/{app}/{environment}")
        });
        if let Some(gone) = gone.cloned() {
            check.deployments.remove(&gone);
            let goal = Goal { at: world.now, ..Goal::default() };
            check.goals.entry(gone).or_default().push(goal);
        }
        return;
    };
    let place = (new.environment.clone(), new.app.clone());
    let text = format!("{} {} is {:?} of {}", new.app, new.number, new.phase, new.release);
    let before = check.deployments.insert(place.clone(), new.clone());
    let goal = check.goal_of(&new, world.now);
    let goals = check.goals.entry(place).or_default();
    if goals.len() > 8 {
        goals.remove(0);
    }
    goals.push(goal);
    if before.is_none_or(|before| (before.phase, before.number) != (new.phase, new.number)) {
        world.trace.note(world.now, &text);
    }
}

/// Somebody is taken for dead, or is not any more.
fn heard_of(world: &mut World, host: &Host) {
    let before = world.check.hosts.insert(host.name.clone(), host.clone());
    let was_down = before.is_some_and(|before| before.is_down());
    if was_down == host.is_down() {
        return;
    }
    let word = if host.is_down() { "is taken for dead" } else { "is back" };
    if !host.is_down() {
        world.check.back.insert(host.name.clone(), world.now);
    }
    world.trace.note(world.now, &format!("{} {word}", host.name));
    let node = (0..world.shape.hosts).find(|at| world.shape.host_name(*at) == host.name);
    let Some(node) = node.map(|at| world.shape.host(at)) else { return };
    Faults::look(world);
    if host.is_down() && !world.faults.excuse(&world.shape, node, world.now) {
        world.violation(&format!("{} is taken for dead although others hear it", host.name));
    }
}

/// A host's assignment was written.
fn assigned(world: &mut World, node: NodeId, new: &Assignment) {
    let empty = Assignment::empty(new.host.clone());
    let old = world.check.assignments.insert(new.host.clone(), new.clone()).unwrap_or(empty);
    let added: Vec<&Entry> =
        new.entries.iter().filter(|entry| old.entry(&entry.instance).is_none()).collect();
    for entry in &added {
        let line = format!("{} gets {} of {}", new.host, entry.instance, entry.release);
        world.trace.note(world.now, &line);
    }
    explosion(world, &added);
    addresses(world, node, (new, &old), &added);
    budget(world, &added);
    for entry in &old.entries {
        leaves(world, new, entry);
    }
}

/// Promise 3: what was added is within desired and surge.
fn explosion(world: &mut World, added: &[&Entry]) {
    let mut places: Vec<Place> = added.iter().map(|entry| place_of(entry)).collect();
    places.dedup();
    let late = world.faults.lateness(world.now, ON_ITS_WAY, STALE);
    for place in places {
        let check = &world.check;
        let up = |host: &HostId| check.is_up(host, world.now.saturating_sub(late));
        let on_hosts = check.assignments.values().filter(|assignment| up(&assignment.host));
        let entries = on_hosts.flat_map(|assignment| &assignment.entries);
        let total = entries.filter(|entry| place_of(entry) == place).count();
        let most = check.recent_goals(&place, world.now).map(|goal| goal.instances + goal.surge);
        let most = most.max().unwrap_or(0) as usize;
        if total > most {
            world.violation(&format!("{} has {total} instances of at most {most}", place.1));
        }
    }
}

/// Addresses are unique and cool off.
fn addresses(
    world: &mut World,
    node: NodeId,
    (new, old): (&Assignment, &Assignment),
    added: &[&Entry],
) {
    let now = world.now.cast_signed() + world.clocks[node.0].offset;
    let mut wrong = Vec::new();
    for entry in added {
        let twice = new.entries.iter().filter(|other| other.address == entry.address).count();
        if twice > 1 {
            wrong.push(format!("{} has the address of another", entry.instance));
        }
        if let Some((place, at)) = world.check.given_back.get(&entry.address)
            && *place != place_of(entry)
            && now < at + COOL
        {
            let text = format!("{} has an address that {} had until", entry.instance, place.1);
            wrong.push(format!("{text} {} s ago", (now - at) / 1000));
        }
    }
    for entry in old.entries.iter().filter(|entry| new.entry(&entry.instance).is_none()) {
        world.check.given_back.insert(entry.address, (place_of(entry), now));
    }
    wrong.iter().for_each(|text| world.violation(text));
}

/// In safe mode only so many are replaced.
fn budget(world: &mut World, added: &[&Entry]) {
    if safe_mode(&world.check.hosts, None).is_none() {
        return;
    }
    let check = &world.check;
    let lost = |instance: &InstanceId| {
        let home = check.assignments.values().find(|a| a.entry(instance).is_some());
        home.is_some_and(|a| check.hosts.get(&a.host).is_some_and(Host::is_down))
    };
    let replaced = added.iter().filter(|entry| entry.replaces.as_ref().is_some_and(lost)).count();
    let now = world.now;
    let replacements = &mut world.check.replaced;
    replacements.push_back((now, replaced));
    replacements.retain(|(at, _)| *at + BUDGET.1 > now + 1_000);
    let sum: usize = replacements.iter().map(|(_, count)| count).sum();
    // A new leader begins with a budget of its own.
    let new = world.check.term_since + BUDGET.1 > now;
    if sum > BUDGET.0 * (1 + usize::from(new)) {
        world.violation(&format!("{sum} instances were replaced at once in safe mode"));
    }
}

/// An entry of the assignment before: whether it may leave.
fn leaves(world: &mut World, new: &Assignment, old: &Entry) {
    let now = new.entry(&old.instance).map(|entry| entry.wanted);
    let at = world.now;
    let line = format!("{} on {}: {:?} to {now:?}", old.instance, new.host, old.wanted);
    if now != Some(old.wanted) {
        world.trace.note(at, &line);
    }
    if old.wanted == Wanted::Run && now != Some(Wanted::Run) {
        availability(world, old, now);
    }
    if old.wanted != Wanted::Stop && now == Some(Wanted::Stop) {
        out_of_service(world, old);
    }
}

/// A healthy instance goes only where enough others are healthy.
fn availability(world: &mut World, old: &Entry, now: Option<Wanted>) {
    let at = world.now;
    let truly = |instance: &InstanceId| {
        let name = instance.as_str();
        let here = |container: &Container| is_healthy(container, at);
        world.machines.iter().any(|machine| machine.is(name, here))
    };
    if !truly(&old.instance) {
        return;
    }
    let check = &world.check;
    let place = place_of(old);
    let entries = check.assignments.values().flat_map(|assignment| &assignment.entries);
    let others = entries.filter(|entry| place_of(entry) == place && entry.wanted == Wanted::Run);
    let healthy = others
        .filter(|entry| entry.instance != old.instance)
        .filter(|entry| {
            check.healthy.contains_key(entry.instance.as_str()) || truly(&entry.instance)
        })
        .count();
    let goals = check.recent_goals(&place, at);
    let least = goals.map(|goal| goal.instances.saturating_sub(goal.unavailable)).min();
    let least = least.unwrap_or(0) as usize;
    if healthy < least {
        let text = format!("{} is healthy and goes to {now:?}", old.instance);
        world.violation(&format!("{text} with {healthy} of {least} others healthy"));
    }
}

/// An instance is stopped when no host that is not dead has it in its tables any more.
fn out_of_service(world: &mut World, old: &Entry) {
    let at = world.now;
    let span = world.faults.lateness(at, ON_ITS_WAY, STALE);
    let mut late = Vec::new();
    for host in 0..world.shape.hosts {
        let name = world.shape.host_name(host);
        let down = !world.check.is_up(&name, at.saturating_sub(span));
        let here = world.nodes[world.shape.host(host).0].runs();
        if !down && here && world.machines[host].had_until(old.address, at) + SETTLE > at {
            late.push(name.to_string());
        }
    }
    if !late.is_empty() {
        let late = late.join(", ");
        world.violation(&format!("{} is stopped while {late} may send to it", old.instance));
    }
}

impl Check {
    pub(super) fn new() -> Self {
        Self {
            hosts: BTreeMap::new(),
            back: BTreeMap::new(),
            assignments: BTreeMap::new(),
            deployments: BTreeMap::new(),
            releases: BTreeMap::new(),
            goals: BTreeMap::new(),
            given_back: BTreeMap::new(),
            replaced: VecDeque::new(),
            term: Vec::new(),
            term_since: 0,
            healthy: BTreeMap::new(),
            died: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Whether a host is not taken for dead, and that could be known at a time.
    fn is_up(&self, host: &HostId, known_at: u64) -> bool {
        let down = self.hosts.get(host).is_some_and(Host::is_down);
        !down && self.back.get(host).is_none_or(|back| *back <= known_at)
    }

    fn goal_of(&self, deployment: &Deployment, at: u64) -> Goal {
        let release = deployment.wanted_release();
        let release = release.and_then(|r| self.releases.get(&(deployment.app.clone(), r.0)));
        let spec = release.and_then(|r| r.manifest.resolve(&deployment.environment).ok());
        spec.map_or(Goal { at, ..Goal::default() }, |spec| Goal {
            at,
            instances: spec.scale.instances,
            surge: spec.rollout.surge,
            unavailable: spec.rollout.max_unavailable,
        })
    }

    /// What was wanted within the last moments, and is now.
    fn recent_goals(&self, place: &Place, now: u64) -> impl Iterator<Item = Goal> {
        let goals = self.goals.get(place).map_or(&[][..], Vec::as_slice);
        let first = goals.partition_point(|goal| goal.at + STALE < now).saturating_sub(1);
        goals[first.min(goals.len())..].iter().copied()
    }

    /// A container died of itself.
    pub(super) fn died(&mut self, now: u64, name: &str) {
        self.died.insert(name.to_owned(), now);
        self.healthy.remove(name);
    }

    /// A host told a container to stop.
    pub(super) fn stopped(&mut self, now: u64, host: &HostId, name: &str, healthy: bool) {
        let Ok(instance) = InstanceId::new(name) else { return };
        let entry = self.assignments.get(host).and_then(|a| a.entry(&instance));
        let wanted = entry.map(|entry| entry.wanted);
        if healthy && matches!(wanted, Some(Wanted::Run | Wanted::Drain)) {
            let text = format!("{host} stops {name}, which is healthy and wanted: {wanted:?}");
            self.violations.push(format!("{:.3} s: {text}", now as f64 / 1000.0));
        }
    }
}
