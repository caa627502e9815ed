//! Requests for leases of singletons on their way to the leader, and what it granted. Deciding is
//! `plan::singleton`'s; here it gets what the documents say, and the leader's clock.

use std::collections::BTreeSet;
use std::time::Duration;

use api::id::{HostId, InstanceId, ServerId};
use api::lease::{LeaseAnswer, LeaseRefusal, LeaseRequest, LeaseWish};
use api::protocol::Down;
use parking_lot::Mutex;
use plan::restart::Moment;
use plan::singleton::{Leases, Wish};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::words::Word;
use super::{Core, View};

/// Requests waiting to be decided. A host has one or two under way; what comes beyond is asked
/// again by its host.
const QUEUE: usize = 4096;

/// A request that came to the leader.
#[derive(Debug)]
pub struct Asked {
    host: HostId,
    request: LeaseRequest,
    /// The server that holds the host's stream; none is this one.
    through: Option<ServerId>,
    /// When it was here.
    at: Moment,
}

/// Requests and grants on the leader.
pub struct Granting {
    /// The begin of this process's own monotonic clock.
    begin: Instant,
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    /// None where this server does not lead.
    leases: Option<Leases>,
    asked: Vec<Asked>,
}

impl Default for Granting {
    fn default() -> Self {
        Self { begin: Instant::now(), state: Mutex::default(), came: Notify::new() }
    }
}

impl Granting {
    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Begins a term: nothing is known of what was granted before it.
    pub fn begin(&self) {
        let mut state = self.state.lock();
        *state = State { leases: Some(Leases::new(self.moment())), asked: Vec::new() };
    }

    /// Ends a term: nothing is granted any more.
    pub fn end(&self) {
        *self.state.lock() = State::default();
    }

    /// What was granted up to now; nothing, and all of it unknown, where this server does not lead.
    #[must_use]
    pub fn seen(&self) -> Leases {
        let now = self.moment();
        let state = self.state.lock();
        let mut leases = state.leases.clone().unwrap_or_else(|| Leases::new(now));
        leases.now = now;
        leases
    }

    /// Takes a request in; gives it back where this server does not lead.
    fn push(
        &self,
        host: &HostId,
        request: LeaseRequest,
        through: Option<ServerId>,
    ) -> Option<LeaseRequest> {
        let at = self.moment();
        let mut state = self.state.lock();
        if state.leases.is_none() {
            return Some(request);
        }
        if state.asked.len() < QUEUE {
            state.asked.push(Asked { host: host.clone(), request, through, at });
            self.came.notify_one();
        }
        None
    }

    /// Waits for requests and takes all there are.
    pub async fn take(&self) -> Vec<Asked> {
        loop {
            let asked = std::mem::take(&mut self.state.lock().asked);
            if !asked.is_empty() {
                return asked;
            }
            self.came.notified().await;
        }
    }

    /// Hosts reported instances gone.
    pub fn ended(&self, instances: &[InstanceId]) {
        if let Some(leases) = &mut self.state.lock().leases {
            instances.iter().for_each(|instance| leases.ended(instance));
        }
    }

    /// Forgets what is over for long.
    pub fn forget(&self, assigned: &BTreeSet<InstanceId>) {
        let now = self.moment();
        if let Some(leases) = &mut self.state.lock().leases {
            leases.now = now;
            leases.forget(assigned);
        }
    }

    /// Decides one request by a view; none where this server does not lead any more.
    fn decide(&self, view: &View, asked: &Asked) -> Option<LeaseAnswer> {
        let now = self.moment();
        let mut state = self.state.lock();
        let leases = state.leases.as_mut()?;
        leases.now = now;
        let mut answer = LeaseAnswer {
            number: asked.request.number,
            granted: Vec::new(),
            lease: leases.lease,
            refused: Vec::new(),
        };
        for wish in &asked.request.instances {
            match judge(leases, view, asked, wish) {
                Ok(()) => answer.granted.push(wish.instance.clone()),
                Err(reason) => {
                    let instance = wish.instance.clone();
                    answer.refused.push(LeaseRefusal { instance, reason });
                }
            }
        }
        Some(answer)
    }
}

/// What the documents say of a wish, and the decision.
fn judge(leases: &mut Leases, view: &View, asked: &Asked, wish: &LeaseWish) -> Result<(), String> {
    let assignment = view.assignments.get(asked.host.as_str());
    let entry = assignment.and_then(|assignment| assignment.entry(&wish.instance));
    let Some(entry) = entry else { return Err("it is not assigned to this host".to_owned()) };
    let deployment = view.deployment(&entry.environment, &entry.app);
    let wish = Wish {
        place: &(entry.environment.clone(), entry.app.clone()),
        instance: &entry.instance,
        epoch: entry.epoch,
        highest: deployment.map_or(0, |deployment| deployment.epoch),
        ran: wish.ran,
        asked: asked.at,
    };
    leases.grant(&wish).map_err(|refusal| refusal.to_string())
}

impl Core {
    /// Takes a host's request for leases and brings it to the leader, where it is known. `through`
    /// is the server that holds the host's stream, if that is another one.
    pub fn ask_lease(&self, host: &HostId, request: LeaseRequest, through: Option<ServerId>) {
        let relayed = through.is_some();
        let Some(request) = self.servers.leases.push(host, request, through) else { return };
        if relayed {
            return;
        }
        let leader = self.servers.leader().filter(|leader| *leader != self.servers.me.as_str());
        if let Some(leader) = leader.and_then(|leader| ServerId::new(leader).ok()) {
            let word = Word::LeaseRequest { host: host.clone(), request };
            self.agents.gathered.tell_one(&leader, &word);
        }
    }

    /// Decides requests by the newest view and sends the answers.
    pub fn answer_leases(&self, asked: &[Asked]) {
        let view = self.view();
        for asked in asked {
            let Some(answer) = self.servers.leases.decide(&view, asked) else { return };
            match &asked.through {
                None => self.agents.send(&asked.host, &Down::Lease(answer), |_| {}),
                Some(server) => {
                    let word = Word::LeaseAnswer { host: asked.host.clone(), answer };
                    self.agents.gathered.tell_one(server, &word);
                }
            }
        }
    }
}

/// Between two looks whether this server still leads, so that requests that come close together
/// share one.
pub const LEASES_EVERY: Duration = Duration::from_millis(20);
