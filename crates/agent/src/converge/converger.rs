//! All instances of the host: takes assignments, keeps a driver per instance, joins their reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::assignment::{Assignment, Entry, Wanted};
use api::digest::Digest;
use api::host::Capacity;
use api::id::{AppName, EnvironmentName, Generation, InstanceId, ReleaseNumber};
use api::protocol::Workload;
use api::release::Image;
use api::status::{HostStatus, InstanceState, InstanceStatus};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::accept::{Verdict, judge};
use super::driver::{Seed, Told, drive};
use super::host::{Found, Host};
use crate::runtime::{ContainerId, RuntimeError};
use crate::state::Keeper;

/// Reports waiting to be joined: a full host's instances, each with a few changes.
const REPORTS: usize = 1024;

/// Removals of unwanted containers at once.
const CLEARING: usize = 4;

/// An assignment with what its entries are made of, as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Documents {
    /// The assignment.
    pub assignment: Assignment,
    /// What its entries are made of.
    pub workloads: Vec<Workload>,
}

/// What a converger is asked.
#[derive(Debug)]
pub enum Order {
    /// To run this.
    Assign(Box<Documents>),
    /// To stop everything; answered when nothing is left.
    Clear(tokio::sync::oneshot::Sender<()>),
    /// To report that these images are here.
    Images(Vec<Digest>),
    /// To show that it lives.
    Pulse(tokio::sync::oneshot::Sender<()>),
}

/// Where the host's report is seen.
pub type StatusReceiver = watch::Receiver<Arc<HostStatus>>;

type WorkloadKey = (AppName, EnvironmentName, ReleaseNumber);

#[derive(Debug)]
struct Instance {
    image: Option<Image>,
    /// None for one that cannot be driven: its workload is missing.
    wanted: Option<watch::Sender<Wanted>>,
    status: InstanceStatus,
    over: bool,
    /// Its entry is gone from the assignment.
    gone: bool,
}

/// The host's instances.
#[derive(Debug)]
pub struct Converger {
    host: Arc<dyn Host>,
    assignment: Assignment,
    instances: BTreeMap<InstanceId, Instance>,
    reports: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    status: watch::Sender<Arc<HostStatus>>,
    keeper: Keeper<Documents>,
    clearing: Option<tokio::sync::oneshot::Sender<()>>,
    capacity: Capacity,
    /// Images that are here, for the report.
    images: Vec<Digest>,
}

impl Converger {
    /// Finds what an earlier agent left, adopts what the kept documents want and removes the rest.
    ///
    /// # Errors
    /// The runtime cannot list its containers.
    pub async fn start(
        host: Arc<dyn Host>,
        keeper: Keeper<Documents>,
        kept: Option<Documents>,
        before: Option<HostStatus>,
        capacity: Capacity,
    ) -> Result<(Self, StatusReceiver), RuntimeError> {
        let mut found = host.found().await?;
        let name = host.name().clone();
        let status = HostStatus {
            host: name.clone(),
            generation: Generation(0),
            capacity,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instances: Vec::new(),
            images: Vec::new(),
        };
        let (status, receiver) = watch::channel(Arc::new(status));
        let mut converger = Self {
            host,
            assignment: Assignment::empty(name),
            instances: BTreeMap::new(),
            reports: mpsc::channel(REPORTS),
            status,
            keeper,
            clearing: None,
            capacity,
            images: Vec::new(),
        };
        if let Some(kept) = kept {
            let before = before.map(|status| status.instances).unwrap_or_default();
            converger.take(kept, &mut found, &before);
        }
        converger.clear(found);
        converger.publish();
        Ok((converger, receiver))
    }

    /// Images that instances of this host are made of.
    fn images(&self) -> Vec<Image> {
        self.instances.values().filter_map(|instance| instance.image.clone()).collect()
    }

    /// Takes orders until shut down. Containers go on then.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        images: watch::Sender<Vec<Image>>,
        shutdown: CancellationToken,
    ) {
        images.send_replace(self.images());
        loop {
            // Every arm receives from a channel and may be dropped at any time.
            tokio::select! {
                () = shutdown.cancelled() => break,
                order = orders.recv() => match order {
                    None => break,
                    Some(Order::Assign(documents)) => {
                        self.assign(*documents);
                        images.send_replace(self.images());
                    }
                    Some(Order::Images(here)) => self.images = here,
                    Some(Order::Pulse(lives)) => {
                        let _ = lives.send(());
                        continue;
                    }
                    Some(Order::Clear(done)) => {
                        self.clearing = Some(done);
                        self.retire(|_| true);
                    }
                },
                Some(told) = self.reports.1.recv() => {
                    self.note(told);
                    while let Ok(told) = self.reports.1.try_recv() {
                        self.note(told);
                    }
                    images.send_replace(self.images());
                }
            }
            self.publish();
            if self.instances.is_empty()
                && let Some(done) = self.clearing.take()
            {
                let _ = done.send(());
            }
        }
        self.keeper.flush().await;
    }

    /// Takes an assignment that a server gave.
    fn assign(&mut self, documents: Documents) {
        let given = &documents.assignment;
        if given.host != *self.host.name() || self.clearing.is_some() {
            tracing::warn!(host = %given.host, "refused an assignment: not for this host now");
            return;
        }
        let current = Some((self.assignment.generation, &self.assignment));
        // Generation 0 is the empty beginning, which anything follows.
        let current = current.filter(|(generation, _)| generation.0 > 0);
        let generation = given.generation;
        match judge(current, (generation, given)) {
            Verdict::Take => {
                self.keeper.keep(Arc::new(documents.clone()));
                self.take(documents, &mut BTreeMap::new(), &[]);
            }
            Verdict::Replay => {}
            Verdict::Older => {
                let have = self.assignment.generation;
                tracing::warn!(%generation, %have, "refused an assignment: it is older");
            }
            Verdict::Conflict => {
                tracing::error!(%generation, "refused an assignment: it changed at one generation");
            }
        }
    }

    fn take(
        &mut self,
        documents: Documents,
        found: &mut BTreeMap<ContainerId, Found>,
        before: &[InstanceStatus],
    ) {
        let Documents { assignment, workloads } = documents;
        let workloads: BTreeMap<WorkloadKey, Arc<Workload>> = workloads
            .into_iter()
            .map(|w| ((w.app.clone(), w.environment.clone(), w.release), Arc::new(w)))
            .collect();
        let admission = self.admit(&assignment);
        for entry in &assignment.entries {
            if let Some(instance) = self.instances.get_mut(&entry.instance)
                && instance.wanted.is_some()
            {
                instance.gone = false;
                instance.want(entry.wanted);
                continue;
            }
            let key = (entry.app.clone(), entry.environment.clone(), entry.release);
            let container = ContainerId::new(entry.instance.as_str()).ok();
            let before = before.iter().find(|status| status.instance == entry.instance).cloned();
            let entry = Arc::new(entry.clone());
            let instance = match (workloads.get(&key), container) {
                (Some(workload), Some(container)) => {
                    // One that cannot be driven stays among the found, and is removed with them.
                    let found = found.remove(&container);
                    let (host, workload) = (self.host.clone(), workload.clone());
                    self.drive(Seed {
                        host,
                        entry: entry.clone(),
                        workload,
                        container,
                        admission,
                        found,
                        before,
                    })
                }
                _ => self.unknown(&entry),
            };
            self.instances.insert(entry.instance.clone(), instance);
        }
        self.retire(|instance| assignment.entry(instance).is_none());
        self.assignment = assignment;
    }

    /// Gives all entries that run their place in the packet filter in one go.
    fn admit(&self, assignment: &Assignment) -> u64 {
        let new = assignment.entries.iter().filter(|entry| {
            entry.wanted != Wanted::Stop && !self.instances.contains_key(&entry.instance)
        });
        self.host.admit(&new.collect::<Vec<_>>())
    }

    fn drive(&self, seed: Seed) -> Instance {
        let entry = seed.entry.clone();
        let image = Some(seed.workload.image.clone());
        let (wanted, receiver) = watch::channel(entry.wanted);
        let status = self.beginning(&entry, InstanceState::Preparing, "");
        tokio::spawn(drive(seed, receiver, self.reports.0.clone()));
        Instance { image, wanted: Some(wanted), status, over: false, gone: false }
    }

    /// An instance that cannot be driven.
    fn unknown(&self, entry: &Entry) -> Instance {
        let over = entry.wanted == Wanted::Stop;
        let state = if over { InstanceState::Stopped } else { InstanceState::Waiting };
        let message = "the server gave no workload for it";
        let status = self.beginning(entry, state, message);
        Instance { image: None, wanted: None, status, over, gone: false }
    }

    fn beginning(&self, entry: &Entry, state: InstanceState, message: &str) -> InstanceStatus {
        let clock = self.host.clock();
        InstanceStatus {
            instance: entry.instance.clone(),
            state,
            since: clock.timestamp(clock.now()),
            pid: None,
            restarts: 0,
            last_exit: None,
            message: message.to_owned(),
        }
    }

    /// Stops instances whose entries are gone and forgets those of which nothing is left.
    fn retire(&mut self, is_gone: impl Fn(&InstanceId) -> bool) {
        for (id, instance) in &mut self.instances {
            if is_gone(id) {
                instance.gone = true;
                instance.want(Wanted::Stop);
                instance.over |= instance.wanted.is_none();
            }
        }
        self.instances.retain(|_, instance| !(instance.gone && instance.over));
    }

    fn note(&mut self, told: Told) {
        let id = told.status.instance.clone();
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.status = told.status;
        instance.over = told.over;
        if instance.gone && instance.over {
            self.instances.remove(&id);
        }
    }

    /// Puts the report together, when it differs from the last.
    fn publish(&self) {
        let status = HostStatus {
            host: self.host.name().clone(),
            generation: self.assignment.generation,
            capacity: self.capacity,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instances: self.instances.values().map(|i| i.status.clone()).collect(),
            images: self.images.clone(),
        };
        self.status.send_if_modified(|last| {
            let changed = **last != status;
            if changed {
                *last = Arc::new(status);
            }
            changed
        });
    }

    /// Removes containers that no entry wants, a few at a time, in the background.
    fn clear(&self, orphans: BTreeMap<ContainerId, Found>) {
        let turns = Arc::new(tokio::sync::Semaphore::new(CLEARING));
        for (id, found) in orphans {
            let (host, turns) = (self.host.clone(), turns.clone());
            tokio::spawn(async move {
                let Ok(_turn) = turns.acquire().await else { return };
                host.clear(id, found).await;
            });
        }
    }
}

impl Instance {
    fn want(&mut self, wanted: Wanted) {
        if let Some(sender) = &self.wanted {
            sender.send_if_modified(|current| std::mem::replace(current, wanted) != wanted);
        }
    }
}
