//! Leases of this host's singletons: asks for them, gives each new end to the shim, and lets a
//! container start only under one.
//!
//! A lease counts from the time at which this host *sent* the request, read from CLOCK_BOOTTIME
//! before anything else is done. So nothing that stands still between there and here makes it
//! longer: not this agent, nor a server, nor the network, nor this whole machine. The shim ends the
//! container by itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use api::id::InstanceId;
use api::lease::{LeaseAnswer, LeaseRequest, LeaseWish};
use clock::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::failure::told;
use crate::runtime::{BoottimeMs, ContainerId, HostRuntime, Runtime, RuntimeError};

/// Requests whose answers are awaited; older ones are of no use any more.
const AWAITED: usize = 16;

/// So much must be left of a lease when a container is started under it: creating one takes tens of
/// milliseconds, seconds on a starved host, and the next answer comes within the second.
const LEFT_TO_START_MS: u64 = 1500;

/// Who ends containers at their deadlines.
pub trait Shims: Send + Sync {
    /// Begins to move deadlines; never to an earlier time.
    fn renew(self: Arc<Self>, containers: Vec<ContainerId>, until: BoottimeMs);
}

impl Shims for HostRuntime {
    fn renew(self: Arc<Self>, containers: Vec<ContainerId>, until: BoottimeMs) {
        tokio::task::spawn_blocking(move || renew(&*self, &containers, until));
    }
}

/// This host's leases.
pub struct Leases {
    shims: Arc<dyn Shims>,
    clock: Clock,
    state: Mutex<State>,
    /// Tells of each answer.
    answered: watch::Sender<()>,
    /// Somebody waits: ask now.
    asked: Notify,
}

struct State {
    /// The number of the next request. It begins anywhere, so that no answer to an earlier agent
    /// is taken for one of ours.
    next: u64,
    /// Requests that were sent, and when.
    sent: VecDeque<(u64, BoottimeMs)>,
    held: BTreeMap<InstanceId, Held>,
}

struct Held {
    container: ContainerId,
    /// Whether it ever had a lease.
    ran: bool,
    /// The lease's end.
    until: BoottimeMs,
    /// Why it was refused at last.
    refusal: String,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<_> = self.state.lock().held.keys().cloned().collect();
        f.debug_struct("Leases").field("held", &held).finish_non_exhaustive()
    }
}

impl Leases {
    /// None yet.
    #[must_use]
    pub fn new(shims: Arc<dyn Shims>, clock: Clock) -> Self {
        let state = State { next: rand::random(), sent: VecDeque::new(), held: BTreeMap::new() };
        let answered = watch::Sender::default();
        Self { shims, clock, state: Mutex::new(state), answered, asked: Notify::new() }
    }

    fn now(&self) -> BoottimeMs {
        BoottimeMs(self.clock.since_boot().0)
    }

    /// Asks for leases of an instance from now on. `ran` says whether it ever had one.
    pub fn hold(&self, instance: &InstanceId, container: &ContainerId, ran: bool) {
        let until = BoottimeMs::default();
        let held = Held { container: container.clone(), ran, until, refusal: String::new() };
        self.state.lock().held.insert(instance.clone(), held);
        self.asked.notify_one();
    }

    /// Asks no more for an instance.
    pub fn release(&self, instance: &InstanceId) {
        self.state.lock().held.remove(instance);
    }

    /// Ready when somebody cannot wait for the next round of requests.
    pub async fn urgent(&self) {
        self.asked.notified().await;
    }

    /// The request to be sent now; none when nothing needs a lease.
    #[must_use]
    pub fn request(&self) -> Option<LeaseRequest> {
        let now = self.now();
        let mut state = self.state.lock();
        if state.held.is_empty() {
            return None;
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        if state.sent.len() == AWAITED {
            state.sent.pop_front();
        }
        state.sent.push_back((number, now));
        let wish = |(instance, held): (&InstanceId, &Held)| LeaseWish {
            instance: instance.clone(),
            ran: held.ran,
        };
        Some(LeaseRequest { number, instances: state.held.iter().map(wish).collect() })
    }

    /// Takes an answer over and hands new ends to the shims. One that nobody awaits is passed over.
    pub fn take(&self, answer: LeaseAnswer) {
        let mut state = self.state.lock();
        let Some(at) = state.sent.iter().position(|(number, _)| *number == answer.number) else {
            return tracing::debug!(number = answer.number, "an answer that nobody awaits");
        };
        // An earlier one that comes later would bring an earlier end.
        let Some((_, sent)) = state.sent.drain(..=at).next_back() else { return };
        let until = sent.plus_ms(answer.lease.0);
        let mut renewed = Vec::new();
        for instance in &answer.granted {
            let Some(held) = state.held.get_mut(instance) else { continue };
            held.ran = true;
            held.until = held.until.max(until);
            held.refusal.clear();
            renewed.push(held.container.clone());
        }
        for refused in answer.refused {
            if let Some(held) = state.held.get_mut(&refused.instance) {
                held.refusal = refused.reason;
            }
        }
        drop(state);
        self.answered.send_replace(());
        if !renewed.is_empty() {
            self.shims.clone().renew(renewed, until);
        }
    }

    /// Waits for a lease that is long enough to start under; tells why it waits.
    pub async fn wait(&self, instance: &InstanceId, tell: &(dyn Fn(String) + Send + Sync)) {
        let mut answered = self.answered.subscribe();
        let mut said = String::new();
        self.asked.notify_one();
        loop {
            answered.mark_unchanged();
            if let Some(held) = self.state.lock().held.get(instance) {
                if held.until >= self.now().plus_ms(LEFT_TO_START_MS) {
                    return;
                }
                if held.refusal != said {
                    said.clone_from(&held.refusal);
                    tell(match said.is_empty() {
                        true => "waits for its lease".to_owned(),
                        false => format!("waits for its lease: {said}"),
                    });
                }
            }
            if answered.changed().await.is_err() {
                return;
            }
        }
    }

    /// The end of a container's lease as far as it is known; none where it needs none.
    #[must_use]
    pub fn until(&self, container: &ContainerId) -> Option<BoottimeMs> {
        let state = self.state.lock();
        let held = state.held.values().find(|held| held.container == *container);
        held.map(|held| held.until)
    }
}

/// Blocks for as long as the shims take to answer.
fn renew(runtime: &dyn Runtime, containers: &[ContainerId], until: BoottimeMs) {
    for container in containers {
        match runtime.renew(container, until) {
            // One that is not there yet gets it when it is created.
            Ok(()) | Err(RuntimeError::NotFound(_) | RuntimeError::NotRunning(_)) => {}
            Err(error) => tracing::warn!(%container, error = told(&error), "renewing a lease"),
        }
    }
}
