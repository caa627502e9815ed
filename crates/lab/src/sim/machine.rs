//! A host's hollow machine: containers that only pretend, and a disk in memory. Both outlive the
//! agent; containers do not outlive the machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use agent::converge::{Clock, Ended, Found, Host, Progress, Running, Unprepared};
use agent::lease::{Leases, Shims};
use agent::runtime::{BoottimeMs, ContainerId, RuntimeError};
use agent::state::{Json, Shelf, VaultError};
use agent::{Supply, Ways};
use api::assignment::Entry;
use api::id::HostId;
use api::network::NetworkTable;
use api::protocol::Workload;
use api::registry::Registry;
use api::status::ExitCause;
use api::warm::Warm;
use async_trait::async_trait;
use parking_lot::Mutex;
use plan::restart::Moment;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::place::{Out, Place, Told};
use super::random::Random;

/// A container that pretends.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) entry: Entry,
    pub(super) pid: u32,
    pub(super) started: Moment,
    /// From when on its health check succeeds.
    pub(super) healthy_at: u64,
    /// Why it is dead; none while it runs.
    pub(super) dead: Option<ExitCause>,
    ends: Vec<oneshot::Sender<ExitCause>>,
}

/// What stays when the agent goes.
#[derive(Debug)]
pub(super) struct Machine {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    containers: BTreeMap<String, Container>,
    prepared: BTreeMap<String, Entry>,
    images: Vec<String>,
    disk: BTreeMap<&'static str, Vec<u8>>,
    pid: u32,
    random: Random,
    /// The instances' addresses of each network table in use, and from when on.
    tables: VecDeque<(u64, BTreeSet<Ipv4Addr>)>,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new(State {
                containers: BTreeMap::new(),
                prepared: BTreeMap::new(),
                images: Vec::new(),
                disk: BTreeMap::new(),
                pid: 1000,
                random: Random::new(seed),
                tables: VecDeque::new(),
            }),
        }
    }

    /// Looks at all containers.
    pub(super) fn each(&self, mut look: impl FnMut(&str, &Container)) {
        let state = self.state.lock();
        state.containers.iter().for_each(|(name, container)| look(name, container));
    }

    /// Whether there is a container of which something holds.
    pub(super) fn is(&self, name: &str, holds: impl Fn(&Container) -> bool) -> bool {
        self.state.lock().containers.get(name).is_some_and(holds)
    }

    /// Until when an address stood in the tables in use; the time of who asks when it still does.
    pub(super) fn had_until(&self, address: Ipv4Addr, now: u64) -> u64 {
        let state = self.state.lock();
        let mut until = 0;
        let tables = &state.tables;
        for (at, (since, table)) in tables.iter().enumerate() {
            if *since <= now && table.contains(&address) {
                until = tables.get(at + 1).map_or(now, |(next, _)| (*next).min(now));
            }
        }
        until
    }

    /// A table is in use from a time on.
    fn uses(&self, from: u64, addresses: BTreeSet<Ipv4Addr>) {
        let mut state = self.state.lock();
        state.tables.push_back((from, addresses));
        if state.tables.len() > 64 {
            state.tables.pop_front();
        }
    }

    /// What is kept on disk under a name.
    pub(super) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.state.lock().disk.get(name).cloned()
    }

    /// The power fails: no container is left.
    pub(super) fn lose_power(&self) {
        let mut state = self.state.lock();
        state.containers.clear();
        state.prepared.clear();
    }

    /// A container ends, if it runs.
    pub(super) fn end(&self, name: &str, cause: &ExitCause) {
        let mut state = self.state.lock();
        let Some(container) = state.containers.get_mut(name) else { return };
        if container.dead.is_none() {
            container.dead = Some(cause.clone());
            for end in container.ends.drain(..) {
                let _ = end.send(cause.clone());
            }
        }
    }

    fn some(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.state.lock().random.between(low, high))
    }
}

/// The machine as one life of the agent sees it.
pub(super) struct Hollow {
    pub(super) machine: Arc<Machine>,
    pub(super) name: HostId,
    pub(super) clock: Clock,
    pub(super) place: Place,
    pub(super) leases: Arc<Leases>,
}

impl fmt::Debug for Hollow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hollow").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Hollow {
    fn is_healthy(&self, container: &Container) -> bool {
        container.dead.is_none() && container.healthy_at <= self.place.now()
    }
}

fn ended(end: oneshot::Receiver<ExitCause>) -> Ended {
    Box::pin(async { end.await.unwrap_or(ExitCause::Lost) })
}

#[async_trait]
impl Host for Hollow {
    fn name(&self) -> &HostId {
        &self.name
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn found(&self) -> Result<BTreeMap<ContainerId, Found>, RuntimeError> {
        let mut state = self.machine.state.lock();
        let found = state.containers.iter_mut().filter_map(|(name, container)| {
            let found = match &container.dead {
                Some(cause) => Found::Dead(cause.clone()),
                None => {
                    let (end, ends) = oneshot::channel();
                    container.ends.push(end);
                    let (pid, started) = (container.pid, container.started);
                    Found::Runs { pid, started, ended: ended(ends) }
                }
            };
            Some((ContainerId::new(name.as_str()).ok()?, found))
        });
        Ok(found.collect())
    }

    fn admit(&self, _: &[&Entry]) -> u64 {
        0
    }

    fn hold(&self, entry: &Entry, container: &ContainerId, ran: bool) {
        self.leases.hold(&entry.instance, container, ran);
    }

    async fn lease(&self, entry: &Entry, progress: Progress<'_>) {
        self.leases.wait(&entry.instance, progress).await;
    }

    async fn prepare(
        &self,
        entry: &Entry,
        workload: &Workload,
        _: u64,
        _: Progress<'_>,
        cancelled: CancellationToken,
    ) -> Result<(), Unprepared> {
        let image = workload.image.digest.to_string();
        let warm = self.machine.state.lock().images.contains(&image);
        let takes = if warm { self.machine.some(5, 20) } else { self.machine.some(100, 1500) };
        tokio::select! {
            () = tokio::time::sleep(takes) => {}
            () = cancelled.cancelled() => {
                let message = "broken off".to_owned();
                return Err(Unprepared { message, retryable: true });
            }
        }
        let mut state = self.machine.state.lock();
        if !warm {
            state.images.push(image);
        }
        state.prepared.insert(entry.instance.to_string(), entry.clone());
        Ok(())
    }

    async fn start(&self, container: &ContainerId) -> Result<Running, String> {
        tokio::time::sleep(self.machine.some(10, 40)).await;
        let name = container.as_str().to_owned();
        let (end, ends) = oneshot::channel();
        let mut state = self.machine.state.lock();
        let Some(entry) = state.prepared.get(&name).cloned() else {
            return Err("it was not prepared".to_owned());
        };
        state.pid += 1;
        let (pid, takes) = (state.pid, state.random.between(20, 300));
        let healthy_at = self.place.now() + takes;
        let (started, dead) = (self.clock.now(), None);
        let new = Container { entry, pid, started, healthy_at, dead, ends: vec![end] };
        state.containers.insert(name.clone(), new);
        drop(state);
        self.place.put(Out::Tell(Told::Started(name)));
        Ok(Running { pid, ended: ended(ends) })
    }

    async fn stop(&self, container: &ContainerId, grace: Duration) {
        let name = container.as_str().to_owned();
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let takes = self.machine.state.lock().random.between(5, 400).min(grace);
        let healthy = {
            let state = self.machine.state.lock();
            state.containers.get(&name).is_some_and(|container| self.is_healthy(container))
        };
        self.place.put(Out::Tell(Told::Stopped(name.clone(), healthy)));
        self.place.put(Out::End { container: name, at: self.place.now() + takes });
    }

    async fn delete(&self, container: &ContainerId) -> Result<(), String> {
        tokio::time::sleep(self.machine.some(1, 10)).await;
        self.machine.end(container.as_str(), &ExitCause::Signaled(9));
        self.machine.state.lock().containers.remove(container.as_str());
        Ok(())
    }

    async fn remove(&self, _: &Entry, container: &ContainerId) -> Result<(), String> {
        self.delete(container).await?;
        self.machine.state.lock().prepared.remove(container.as_str());
        Ok(())
    }

    async fn probe(&self, entry: &Entry, _: &Workload) -> Result<(), String> {
        tokio::time::sleep(self.machine.some(1, 5)).await;
        let state = self.machine.state.lock();
        let container = state.containers.get(entry.instance.as_str());
        match container.is_some_and(|container| self.is_healthy(container)) {
            true => Ok(()),
            false => Err("it does not answer".to_owned()),
        }
    }

    async fn clear(&self, container: ContainerId, found: Found) {
        if let Found::Runs { ended, .. } = found {
            self.stop(&container, Duration::from_secs(10)).await;
            ended.await;
        }
        let _ = self.delete(&container).await;
    }
}

/// The machine's disk, as one life of the agent sees it.
pub(super) struct Disk {
    pub(super) machine: Arc<Machine>,
    /// A planted bug: half of the assignments are said to be kept and are not.
    pub(super) forgets: bool,
}

#[async_trait]
impl Shelf for Disk {
    async fn put(self: Arc<Self>, name: &'static str, json: Json) -> Result<(), VaultError> {
        let json = json()?;
        tokio::time::sleep(self.machine.some(1, 8)).await;
        let mut state = self.machine.state.lock();
        if !(self.forgets && name == "assignment" && state.random.happens(500)) {
            state.disk.insert(name, json);
        }
        Ok(())
    }
}

/// The ways to other hosts' instances: made in a moment.
pub(super) struct Paths {
    pub(super) machine: Arc<Machine>,
    pub(super) place: Place,
    /// A planted bug: tables come into use so long after it is said that they have.
    pub(super) late: u64,
}

#[async_trait]
impl Ways for Paths {
    async fn set_table(&self, table: NetworkTable) -> u64 {
        tokio::time::sleep(self.machine.some(2, 15)).await;
        let addresses = table.services.iter().flat_map(|service| &service.endpoints);
        let addresses = addresses.map(|endpoint| *endpoint.ip());
        self.machine.uses(self.place.now() + self.late, addresses.collect());
        0
    }

    async fn reached(&self, _: u64) {}
}

/// No container here has a deadline.
pub(super) struct Undying;

impl Shims for Undying {
    fn renew(self: Arc<Self>, _: Vec<ContainerId>, _: BoottimeMs) {}
}

/// Images come from nowhere.
pub(super) struct Images;

impl Supply for Images {
    fn set_registries(&self, _: &[Registry]) -> Result<(), agent::images::ImagesError> {
        Ok(())
    }

    fn take(&self, _: Warm) -> Option<Arc<Warm>> {
        None
    }
}
