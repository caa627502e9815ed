//! The planner's controller: from what is known to tables, a plan, its writes, and what agents are
//! sent. It decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::assignment::Assignment;
use api::deployment::Deployment;
use api::event::Event;
use api::id::{HostId, InstanceId};
use api::liveness::Liveness;
use api::time::Timestamp;
use async_trait::async_trait;
use plan::lint::lint;
use plan::liveness::{Budget, SafeMode, safe_mode};
use plan::reconcile::{Ids, Outcome, reconcile};
use plan::restart::Moment;
use plan::snapshot::Snapshot;
use store::{Compare, Op, Revision};
use tokio::sync::watch;
use tokio::time::Instant;

use super::driver::Controller;
use super::tables::Publisher;
use super::vips::VipPublisher;
use crate::core::{
    Change, CommitError, Core, Planning, ServiceAddress, Specs, Term, View, why_safe_mode,
};

/// A full look at everything even if nothing changes.
const PERIOD: Duration = Duration::from_secs(60);

/// Makes and carries out plans.
pub(super) struct Planner {
    term: Term,
    specs: Specs,
    ids: Ids,
    publisher: Publisher,
    vips: VipPublisher,
    changes: watch::Receiver<Revision>,
    reports: watch::Receiver<()>,
    believed: watch::Receiver<BTreeMap<HostId, Liveness>>,
    /// What may be replaced while the cluster is in safe mode.
    budget: Budget,
    /// Since when the cluster is in safe mode.
    safe_mode: Option<Timestamp>,
    began: Instant,
    wake_at: Option<Instant>,
}

impl Planner {
    pub(super) fn new(core: &Core, term: Term) -> Self {
        // Ids differ between terms by the term, inside one by the sequence; the snapshot's are
        // avoided.
        let seed = term.number.rotate_left(32) ^ core.now().0.unsigned_abs();
        Self {
            publisher: Publisher::new(term.number),
            vips: VipPublisher::new(term.number),
            term,
            specs: Specs::default(),
            ids: Ids::new(seed),
            changes: core.cache.changes(),
            reports: core.agents.gathered.changes(),
            believed: core.servers.believed(),
            budget: Budget::default(),
            safe_mode: None,
            began: Instant::now(),
            wake_at: None,
        }
    }

    /// This process's monotonic clock.
    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Adds what is believed of hosts, and in safe mode how much may still be replaced; gives when
    /// that becomes more.
    fn believe(
        &mut self,
        core: &Core,
        view: &View,
        snapshot: &mut Snapshot,
        at: Timestamp,
    ) -> Option<Timestamp> {
        for (host, liveness) in self.believed.borrow_and_update().iter() {
            match liveness {
                // One that is taken for dead is suspect until that is written: of several that die
                // together none gets another's work, and no traffic comes back to it.
                Liveness::Suspect | Liveness::Down => snapshot.suspects.insert(host.clone()),
                Liveness::CutOff => snapshot.cut_off.insert(host.clone()),
                Liveness::Alive => false,
            };
        }
        let mode = safe_mode(&snapshot.hosts, view.accepted_losses());
        self.tell_safe_mode(core, mode.as_ref());
        mode?;
        let now = self.moment();
        let instances = u32::try_from(snapshot.entries().count()).unwrap_or(u32::MAX);
        snapshot.safe_mode = Some(self.budget.left(instances, now));
        self.budget.more_at().map(|more| at.after(more.since(now)))
    }

    /// Carries a plan out in its order; gives the last revision written.
    async fn execute(
        &self,
        core: &Core,
        view: &View,
        outcome: &Outcome,
    ) -> Result<Option<Revision>, CommitError> {
        let mut last = None;
        for ((environment, app), address) in &outcome.services {
            let (environment, app, address) = (environment.clone(), app.clone(), *address);
            let service = ServiceAddress { app, environment, address };
            let claim = service.claim();
            let change = Change::new()
                .create(&service)
                .when(Compare::absent(claim.clone()))
                .then(Op::put(claim, service.app.to_string()));
            last = Some(self.write(core, change).await?);
        }
        for deployment in &outcome.deployments {
            let row = view.deployment(&deployment.environment, &deployment.app);
            let Some(row) = row else { continue };
            last = Some(self.write(core, Change::new().update(row, deployment.clone())).await?);
            self.tell(core, &row.document.body, deployment);
        }
        for assignment in &outcome.writes {
            let row = view.assignments.get(assignment.host.as_str()).map(AsRef::as_ref);
            // It may have been removed since it was seen.
            let there = Compare::exists(format!("host/{}", assignment.host));
            last = Some(self.write(core, Change::new().put(row, assignment).when(there)).await?);
            // An entry goes when its host reported the instance gone.
            let before = row.map(|row| row.entries.as_slice()).unwrap_or_default();
            let gone = before.iter().map(|entry| entry.instance.clone());
            let gone: Vec<_> = gone.filter(|id| assignment.entry(id).is_none()).collect();
            core.servers.leases.ended(&gone);
        }
        for (environment, app) in &outcome.removed {
            if let Some(row) = view.deployment(environment, app) {
                let mut change = Change::new().delete(row);
                let service = crate::core::place_name(environment, app);
                if let Some(service) = view.services.get(&service) {
                    change = change.delete(service).then(Op::delete(service.claim()));
                }
                last = Some(self.write(core, change).await?);
            }
        }
        Ok(last)
    }

    async fn write(&self, core: &Core, change: Change) -> Result<Revision, CommitError> {
        change.when(self.term.fence()).commit(core.store.as_ref()).await
    }

    /// Records when safe mode begins and ends.
    fn tell_safe_mode(&mut self, core: &Core, mode: Option<&SafeMode>) {
        let since = mode.map(|mode| mode.since);
        if std::mem::replace(&mut self.safe_mode, since) == since {
            return;
        }
        let (kind, message) = match mode {
            Some(mode) => {
                ("safe_mode.began", format!("{}: replacements are paced", why_safe_mode(mode)))
            }
            None => ("safe_mode.ended", "replacements are not paced any more".to_owned()),
        };
        core.events.record(Event {
            at: core.now(),
            kind: kind.to_owned(),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: None,
            message,
        });
    }

    /// Records a deployment's new phase.
    fn tell(&self, core: &Core, before: &Deployment, after: &Deployment) {
        if before.phase == after.phase {
            return;
        }
        let phase = crate::core::phase_name(after.phase);
        let mut message = format!("deployment {} of release {}", after.number, after.release);
        message.push_str(&format!(" in {} is {}", after.environment, phase.replace('_', " ")));
        if !after.reason.is_empty() {
            message.push_str(&format!(": {}", after.reason));
        }
        core.events.record(Event {
            at: core.now(),
            kind: format!("deployment.{phase}"),
            app: Some(after.app.clone()),
            environment: Some(after.environment.clone()),
            release: Some(after.release),
            instance: after.failed_instance.clone(),
            host: None,
            message,
        });
    }

    fn tell_placed(&self, core: &Core, outcome: &Outcome, writes: &[Assignment]) {
        for placed in &outcome.placed {
            let written = writes.iter().find_map(|write| write.entry(&placed.instance));
            core.events.record(Event {
                at: core.now(),
                kind: "instance.placed".into(),
                app: written.map(|entry| entry.app.clone()),
                environment: written.map(|entry| entry.environment.clone()),
                release: written.map(|entry| entry.release),
                instance: Some(placed.instance.clone()),
                host: Some(placed.host.clone()),
                message: placed.to_string(),
            });
        }
    }
}

/// All instances that are assigned.
fn known(snapshot: &Snapshot) -> BTreeSet<InstanceId> {
    snapshot.entries().map(|(_, entry)| entry.instance.clone()).collect()
}

#[async_trait]
impl Controller for Planner {
    fn name(&self) -> &'static str {
        "planner"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        // All are cancel-safe: they only tell that something changed.
        tokio::select! {
            _ = self.changes.changed() => {}
            _ = self.reports.changed() => {}
            _ = self.believed.changed() => {}
        }
    }

    fn wake_in(&self) -> Option<Duration> {
        let in_future = |at: Instant| at.saturating_duration_since(Instant::now());
        self.wake_at.map(|at| in_future(at).max(Duration::from_millis(1)))
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        self.changes.mark_unchanged();
        self.reports.mark_unchanged();
        let view = core.view();
        let at = core.now();
        let mut snapshot = core.snapshot(&view, &mut self.specs);
        snapshot.leases = core.servers.leases.seen();
        let more = self.believe(core, &view, &mut snapshot, at);
        self.publisher.publish(core, &view, &snapshot, at);
        self.vips.publish(core, &view);
        snapshot.in_service = self.publisher.tracker.in_service();
        let asked = known(&snapshot);
        let (out, settles) = self.publisher.tracker.out_of_service(&asked, at);
        snapshot.out_of_service = out;
        self.publisher.tracker.retain(|instance| asked.contains(instance));
        core.servers.leases.forget(&asked);

        let (laggards, next_laggard) = self.publisher.tracker.laggards(at);
        let outcome = reconcile(&snapshot, at, &mut self.ids);
        let wake_at = [outcome.wake_at, settles, more, next_laggard].into_iter().flatten().min();
        // From here on the wall time may jump.
        self.wake_at = wake_at.map(|wake| Instant::now() + wake.since(at).duration());
        *core.planning.lock() = Planning { report: outcome.report.clone(), laggards, at };
        if outcome.is_empty() {
            return Ok(String::new());
        }
        if let Err(violations) = lint(&snapshot, &outcome) {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(format!("a plan breaks its rules and is not written: {}", all.join("; ")));
        }
        self.budget.spend(outcome.replaced, self.moment());
        let (hosts, placed) = (outcome.writes.len(), outcome.placed.len());
        tracing::info!(hosts, placed, "planned");
        let written = self.execute(core, &view, &outcome).await;
        let revision = written.map_err(|error| error.to_string())?;
        if let Some(revision) = revision {
            core.wait_for(revision).await;
        }
        self.tell_placed(core, &outcome, &outcome.writes);
        // What was written may call for a next step, which the change of the view leads to.
        Ok(format!(
            "{} hosts, {} deployments written",
            outcome.writes.len(),
            outcome.deployments.len()
        ))
    }
}
