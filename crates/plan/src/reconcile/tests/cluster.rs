//! A small cluster in memory: the real planner and acknowledgment tracker, hosts that behave as
//! told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use api::assignment::Wanted;
use api::deployment::{Deployment, Phase, Progress};
use api::environment::Environment;
use api::host::{Capacity, Host, HostState};
use api::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use api::manifest::{Manifest, Spec};
use api::protocol::Acknowledge;
use api::status::{Exit, ExitCause, HostStatus, InstanceState, InstanceStatus};
use api::time::Timestamp;
use api::unit::{Bytes, MilliCpu};

use api::lease::LEASE;

use crate::acknowledge::Tracker;
use crate::lint::lint;
use crate::reconcile::{Ids, Outcome, reconcile};
use crate::restart::Moment;
use crate::singleton::{Leases, Wish};
use crate::snapshot::{Place, Snapshot};
use crate::tables::tables;

/// How hosts behave for a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    /// Everything goes on by one state.
    Well,
    /// A random part of it goes on, some instances die.
    Chaos(u64),
}

pub(super) struct Cluster {
    pub(super) snapshot: Snapshot,
    /// Releases whose instances die instead of becoming healthy.
    pub(super) broken: BTreeSet<u32>,
    pub(super) last: Outcome,
    tracker: Tracker,
    ids: Ids,
    now: Timestamp,
    generation: Generation,
    serving: BTreeSet<InstanceId>,
    /// Hosts without power: what they reported last stays.
    dark: BTreeSet<HostId>,
    /// Singletons' containers that really run, whatever anybody knows of them, until when.
    running: BTreeMap<InstanceId, Moment>,
    /// Singletons that ever ran, as their hosts know.
    ran: BTreeSet<InstanceId>,
}

fn environment() -> EnvironmentName {
    EnvironmentName::new("production").unwrap()
}

fn place(app: &str) -> Place {
    (environment(), AppName::new(app).unwrap())
}

/// The name of an app that is a singleton.
pub(super) const ONLY: &str = "only";

fn spec(app: &str, instances: u32) -> Spec {
    let singleton = app == ONLY;
    let text = format!(
        "app = {app:?}\nsingleton = {singleton}\nteam = \"t\"\n[process]\nport = 8080\n\
         [resources]\ncpu = \"100m\"\n[scale]\ninstances = {instances}\n\
         [rollout]\nstart_within = \"5s\"\n"
    );
    let manifest = Manifest::parse("freehold.toml", &text).expect("a good manifest");
    manifest.resolve(&environment()).expect("resolves")
}

impl Cluster {
    pub(super) fn new(hosts: usize, cpu: u32) -> Self {
        let mut snapshot = Snapshot::empty();
        let created = Timestamp(0);
        let name = environment();
        let stage = Environment { name, order: 1, host_labels: BTreeMap::new(), created };
        snapshot.environments.insert(environment(), stage);
        for n in 0..hosts {
            let name = HostId::new(format!("h{n}")).unwrap();
            snapshot.hosts.insert(name.clone(), host(&name, n));
            let capacity = Capacity {
                cpu: MilliCpu(cpu),
                memory: Bytes::mib(16_000),
                pids: 30_000,
                disk: Bytes::mib(1000),
                instances: 253,
            };
            let status = HostStatus {
                host: name.clone(),
                generation: Generation(0),
                capacity,
                version: String::new(),
                instances: Vec::new(),
                images: Vec::new(),
            };
            snapshot.statuses.insert(name, status);
        }
        Self {
            snapshot,
            broken: BTreeSet::new(),
            last: Outcome::default(),
            tracker: Tracker::default(),
            ids: Ids::new(1),
            now: Timestamp(0),
            generation: Generation(0),
            serving: BTreeSet::new(),
            dark: BTreeSet::new(),
            running: BTreeMap::new(),
            ran: BTreeSet::new(),
        }
    }

    pub(super) fn deploy(&mut self, app: &str, release: u32, instances: u32) {
        let place = place(app);
        let release = ReleaseNumber(release);
        let key = (place.0.clone(), place.1.clone(), release);
        self.snapshot.specs.insert(key, Arc::new(spec(app, instances)));
        let before = self.snapshot.deployments.get(&place);
        let deployment = Deployment {
            app: place.1.clone(),
            environment: place.0.clone(),
            number: before.map_or(1, |d| d.number + 1),
            release,
            last_good: before.and_then(|d| d.last_good),
            previous_good: before.and_then(|d| d.previous_good),
            phase: Phase::Rolling,
            reason: String::new(),
            last_log_lines: Vec::new(),
            started: self.now,
            progress: Progress::default(),
            progressed: self.now,
            failed_instance: None,
            finished: None,
            started_by: "test".into(),
            epoch: before.map_or(0, |d| d.epoch),
        };
        self.snapshot.deployments.insert(place, deployment);
    }

    pub(super) fn remove(&mut self, app: &str) {
        if let Some(deployment) = self.snapshot.deployments.get_mut(&place(app)) {
            deployment.phase = Phase::Removing;
        }
    }

    pub(super) fn drain(&mut self, host: &str) {
        self.set_state(host, HostState::Draining);
    }

    pub(super) fn undrain(&mut self, host: &str) {
        self.set_state(host, HostState::Ready);
    }

    /// A host loses power, or just its network; it is suspected, and taken for dead when `down`.
    pub(super) fn lose(&mut self, host: &str, power: bool, down: bool) {
        let name = HostId::new(host).unwrap();
        let Some(known) = self.snapshot.hosts.get_mut(&name) else { return };
        if down {
            known.down_since.get_or_insert(self.now);
            self.snapshot.suspects.remove(&name);
        } else if !known.is_down() {
            self.snapshot.suspects.insert(name.clone());
        }
        if power {
            self.dark.insert(name);
        }
    }

    /// Observers hear a host that no server hears.
    pub(super) fn cut_off(&mut self, host: &str) {
        let name = HostId::new(host).unwrap();
        if self.snapshot.hosts.contains_key(&name) && self.snapshot.is_reachable(&name) {
            self.snapshot.cut_off.insert(name);
        }
    }

    /// A host is heard again; where it had lost power, what ran on it has to start again.
    pub(super) fn restore(&mut self, host: &str) {
        let name = HostId::new(host).unwrap();
        self.snapshot.suspects.remove(&name);
        self.snapshot.cut_off.remove(&name);
        if let Some(host) = self.snapshot.hosts.get_mut(&name) {
            host.down_since = None;
        }
        if self.dark.contains(&name) {
            let entries = self.snapshot.assignments.get(&name).map(|a| a.entries.as_slice());
            let entries = entries.unwrap_or_default().iter();
            entries.for_each(|entry| _ = self.running.remove(&entry.instance));
        }
        if self.dark.remove(&name) {
            for status in &mut self.snapshot.statuses.get_mut(&name).unwrap().instances {
                if status.state != InstanceState::Stopped {
                    status.state = InstanceState::Waiting;
                    status.last_exit = Some(Exit { cause: ExitCause::Lost, at: Timestamp(0) });
                    status.restarts += 1;
                }
            }
        }
    }

    /// Another server leads: it knows nothing of what was granted.
    pub(super) fn take_over(&mut self) {
        self.snapshot.leases = Leases::new(self.moment());
    }

    fn moment(&self) -> Moment {
        Moment(self.now.0.unsigned_abs())
    }

    /// How many singletons really run. Hosts without power run nothing.
    pub(super) fn really_running(&self) -> usize {
        let lost = |host: &HostId| self.dark.contains(host);
        let entries = self.snapshot.entries().filter(|(host, _)| !lost(host));
        entries.filter(|(_, entry)| self.running.contains_key(&entry.instance)).count()
    }

    /// Another failure domain for a host, as when its virtual machine migrates.
    pub(super) fn migrate(&mut self, host: &str, domain: &str) {
        let host = self.snapshot.hosts.get_mut(&HostId::new(host).unwrap()).unwrap();
        host.domain = domain.parse().unwrap();
    }

    fn set_state(&mut self, host: &str, state: HostState) {
        if let Some(host) = self.snapshot.hosts.get_mut(&HostId::new(host).unwrap()) {
            host.state = state;
        }
    }

    /// Plans until nothing is left to plan, checking and applying each, then lets hosts act for 100
    /// ms.
    pub(super) fn step(&mut self, behaviour: Behaviour) {
        self.now = self.now.after(api::unit::Millis(100));
        let now = self.moment();
        self.snapshot.leases.now = now;
        self.running.retain(|_, until| *until > now);
        self.publish();
        // What a plan leads to may itself call for a next step (a phase that ends), but only so
        // often without anything new being seen.
        for round in 0.. {
            let outcome = reconcile(&self.snapshot, self.now, &mut self.ids);
            if let Err(violations) = lint(&self.snapshot, &outcome) {
                panic!("{violations:?}\nplan: {outcome:?}\nsnapshot: {:?}", self.snapshot);
            }
            let done = outcome.is_empty();
            assert!(done || round < 3, "plans without end: {outcome:?} after {:?}", self.last);
            self.apply(&outcome);
            self.last = outcome;
            if done {
                break;
            }
        }
        self.act(behaviour);
        assert!(self.really_running() <= 1, "{:?}: {:?}", self.running, self.snapshot);
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..600 {
            self.step(Behaviour::Well);
        }
    }

    fn publish(&mut self) {
        let serving = tables(&self.snapshot).serving;
        let alive = self.snapshot.hosts.values().filter(|host| !host.is_down());
        self.tracker.set_hosts(alive.map(|host| &host.name), self.now);
        if serving != self.serving || self.generation == Generation(0) {
            self.generation = self.generation.next();
            self.tracker.publish(self.generation, &serving, self.now);
            self.serving = serving;
        }
        self.snapshot.in_service = self.tracker.in_service();
        let known: Vec<InstanceId> =
            self.snapshot.entries().map(|(_, e)| e.instance.clone()).collect();
        self.snapshot.out_of_service = self.tracker.out_of_service(&known, self.now).0;
    }

    fn apply(&mut self, outcome: &Outcome) {
        for write in &outcome.writes {
            let before = self.snapshot.assignments.get(&write.host);
            for entry in before.map(|before| before.entries.clone()).unwrap_or_default() {
                if write.entry(&entry.instance).is_none() {
                    self.snapshot.leases.ended(&entry.instance);
                }
            }
            self.snapshot.assignments.insert(write.host.clone(), write.clone());
        }
        for deployment in &outcome.deployments {
            let place = (deployment.environment.clone(), deployment.app.clone());
            self.snapshot.deployments.insert(place, deployment.clone());
        }
        for place in &outcome.removed {
            self.snapshot.deployments.remove(place);
        }
        for (place, address) in &outcome.services {
            self.snapshot.services.insert(place.clone(), *address);
        }
    }

    fn act(&mut self, behaviour: Behaviour) {
        let (mut dice, calm) = match behaviour {
            Behaviour::Well => (Ids::new(0), true),
            Behaviour::Chaos(seed) => (Ids::new(seed ^ self.now.0.unsigned_abs()), false),
        };
        let hosts: Vec<HostId> = self.snapshot.hosts.keys().cloned().collect();
        for host in hosts {
            if !self.snapshot.is_reachable(&host) {
                continue;
            }
            if calm || dice.next_number() % 3 > 0 {
                let has = Acknowledge { network: self.generation, ingress: None };
                self.tracker.acknowledge(&host, has, self.now);
            }
            let Some(assignment) = self.snapshot.assignments.get(&host).cloned() else { continue };
            let status = self.snapshot.statuses.get_mut(&host).unwrap();
            if !calm && dice.next_number() % 3 == 0 {
                continue;
            }
            status.generation = assignment.generation;
            status.instances.retain(|known| assignment.entry(&known.instance).is_some());
            let mut leased = BTreeSet::new();
            for entry in assignment.entries.iter().filter(|entry| entry.epoch > 0) {
                let place = (entry.environment.clone(), entry.app.clone());
                let wish = Wish {
                    place: &place,
                    instance: &entry.instance,
                    epoch: entry.epoch,
                    highest: self.snapshot.deployments.get(&place).map_or(0, |d| d.epoch),
                    ran: self.ran.contains(&entry.instance),
                    asked: Moment(self.now.0.unsigned_abs()),
                };
                if self.snapshot.leases.grant(&wish).is_ok() {
                    leased.insert(entry.instance.clone());
                    self.ran.insert(entry.instance.clone());
                }
            }
            for entry in &assignment.entries {
                let at = status.instances.binary_search_by(|s| s.instance.cmp(&entry.instance));
                let at = at.unwrap_or_else(|at| {
                    status.instances.insert(at, fresh(&entry.instance));
                    at
                });
                let dies = self.broken.contains(&entry.release.0)
                    || (!calm && dice.next_number() % 5 == 0);
                let status = &mut status.instances[at];
                if entry.epoch == 0 {
                    advance(status, entry.wanted, dies);
                    continue;
                }
                let leased = leased.contains(&entry.instance);
                let until = Moment(self.now.0.unsigned_abs()).after(LEASE);
                advance_leased(
                    &mut self.running,
                    status,
                    entry.wanted,
                    dies,
                    leased.then_some(until),
                );
            }
        }
    }

    pub(super) fn phase(&self, app: &str) -> Phase {
        self.deployment(app).phase
    }

    pub(super) fn deployment(&self, app: &str) -> &Deployment {
        &self.snapshot.deployments[&place(app)]
    }

    pub(super) fn desired(&self, app: &str, release: u32) -> u32 {
        let spec = self.snapshot.spec(&place(app), ReleaseNumber(release)).expect("deployed once");
        spec.scale.instances
    }

    pub(super) fn total(&self, app: &str) -> u32 {
        self.snapshot.entries().filter(|(_, e)| e.app.as_str() == app).count() as u32
    }

    pub(super) fn on_host(&self, host: &str) -> usize {
        self.snapshot.entries().filter(|(h, _)| h.as_str() == host).count()
    }

    /// Entries on hosts that are not taken for dead.
    pub(super) fn alive(&self, app: &str) -> u32 {
        let of = |(h, e): &(&HostId, &api::assignment::Entry)| {
            e.app.as_str() == app && !self.snapshot.is_down(h)
        };
        self.snapshot.entries().filter(of).count() as u32
    }

    /// Healthy instances that are to run on hosts that can be reached and are in every table.
    pub(super) fn in_service(&self, app: &str) -> u32 {
        let of = |(h, e): &(&HostId, &api::assignment::Entry)| {
            e.app.as_str() == app
                && e.wanted == Wanted::Run
                && self.snapshot.is_reachable(h)
                && self.snapshot.in_service.contains(&e.instance)
        };
        self.snapshot.entries().filter(of).count() as u32
    }

    /// The host of an app's newest instance.
    pub(super) fn host_of(&self, app: &str) -> String {
        let entries = self.snapshot.entries().filter(|(_, e)| e.app.as_str() == app);
        entries.max_by_key(|(_, e)| e.epoch).expect("it has one").0.to_string()
    }

    /// A host is removed from the cluster, whatever still runs on it.
    pub(super) fn forget(&mut self, host: &str) {
        let name = HostId::new(host).unwrap();
        self.snapshot.hosts.remove(&name);
        self.snapshot.assignments.remove(&name);
        self.snapshot.statuses.remove(&name);
    }

    pub(super) fn instances(&self, app: &str, release: u32) -> Vec<InstanceId> {
        let of = |(_, e): &(&HostId, &api::assignment::Entry)| {
            e.app.as_str() == app && e.release.0 == release
        };
        self.snapshot.entries().filter(of).map(|(_, e)| e.instance.clone()).collect()
    }

    /// Healthy instances that are to run, by release.
    pub(super) fn serving(&self, app: &str) -> Vec<(u32, u32)> {
        let mut counts = BTreeMap::new();
        for (host, entry) in self.snapshot.entries().filter(|(_, e)| e.app.as_str() == app) {
            let status = self.snapshot.instance_status(host, &entry.instance);
            let healthy = status.is_some_and(|s| s.state == InstanceState::Healthy);
            if healthy && entry.wanted == Wanted::Run {
                *counts.entry(entry.release.0).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }
}

fn host(name: &HostId, n: usize) -> Host {
    Host {
        name: name.clone(),
        domain: format!("hv{}", n / 2).parse().unwrap(),
        labels: BTreeMap::new(),
        subnet: format!("10.128.{n}.0/24").parse().unwrap(),
        address: Ipv4Addr::LOCALHOST,
        state: HostState::Ready,
        joined: Timestamp(0),
        down_since: None,
    }
}

fn fresh(instance: &InstanceId) -> InstanceStatus {
    InstanceStatus {
        instance: instance.clone(),
        state: InstanceState::Preparing,
        since: Timestamp(0),
        pid: None,
        restarts: 0,
        last_exit: None,
        message: String::new(),
    }
}

fn advance(status: &mut InstanceStatus, wanted: Wanted, dies: bool) {
    use InstanceState::{Healthy, Preparing, Starting, Stopped, Stopping, Unhealthy, Waiting};
    status.state = match (wanted, status.state) {
        (_, Stopped) | (Wanted::Stop, Stopping) => Stopped,
        (Wanted::Stop, _) => Stopping,
        (_, Preparing | Waiting) => Starting,
        (_, Starting | Healthy | Unhealthy) if dies => {
            status.restarts += 1;
            status.last_exit = Some(Exit { cause: ExitCause::Exited(7), at: Timestamp(0) });
            Waiting
        }
        (_, _) => Healthy,
    };
}

/// One step of a singleton's instance, which has a lease until then or none.
fn advance_leased(
    running: &mut BTreeMap<InstanceId, Moment>,
    status: &mut InstanceStatus,
    wanted: Wanted,
    dies: bool,
    until: Option<Moment>,
) {
    use InstanceState::{Healthy, Preparing, Starting, Stopped, Unhealthy, Waiting};
    let ran = matches!(status.state, Starting | Healthy | Unhealthy);
    if let (true, Some(until)) = (ran, until) {
        // What its deadline has ended is not brought back by a lease.
        running.entry(status.instance.clone()).and_modify(|deadline| *deadline = until);
    }
    if ran && !running.contains_key(&status.instance) {
        status.state = Waiting;
        status.restarts += 1;
        status.last_exit = Some(Exit { cause: ExitCause::Deadline, at: Timestamp(0) });
    }
    let starts = matches!(status.state, Preparing | Waiting) && wanted == Wanted::Run;
    if starts && until.is_none() {
        status.state = Waiting;
        return;
    }
    advance(status, wanted, dies);
    if let (true, Some(until)) = (starts, until) {
        running.insert(status.instance.clone(), until);
    }
    if matches!(status.state, Waiting | Stopped) {
        running.remove(&status.instance);
    }
}
