//! One instance: its machine, the work under way and what it waits for.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::assignment::{Entry, Wanted};
use api::manifest::HealthCheck;
use api::protocol::Workload;
use api::status::{Exit, InstanceStatus};
use plan::instance::{Death, Effect, Event, Machine, Report, Rules};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::host::{Ended, Found, Host, Unprepared};
use crate::runtime::ContainerId;

/// What a driver tells the converger.
#[derive(Debug)]
pub(super) struct Told {
    pub status: InstanceStatus,
    /// Nothing is left and none is wanted.
    pub over: bool,
}

/// What a driver is made from.
pub(super) struct Seed {
    pub host: Arc<dyn Host>,
    pub entry: Arc<Entry>,
    pub workload: Arc<Workload>,
    pub container: ContainerId,
    /// The number to wait for until the packet filter knows the instance.
    pub admission: u64,
    /// What an earlier agent left of it.
    pub found: Option<Found>,
    /// What an earlier agent last reported of it.
    pub before: Option<InstanceStatus>,
}

/// What work brought.
struct Done {
    event: Event,
    /// After a start: the wait for its end.
    ended: Option<Ended>,
}

impl From<Event> for Done {
    fn from(event: Event) -> Self {
        Self { event, ended: None }
    }
}

type Happening = Pin<Box<dyn Future<Output = Event> + Send>>;

struct Driver {
    host: Arc<dyn Host>,
    entry: Arc<Entry>,
    workload: Arc<Workload>,
    container: ContainerId,
    admission: u64,
    machine: Machine,
    work: Option<(JoinHandle<Done>, CancellationToken)>,
    probe: Option<Happening>,
    exit: Option<Happening>,
    /// The wait for a lease.
    lease: Option<Happening>,
    progress: (watch::Sender<String>, watch::Receiver<String>),
    last: Option<(Report, bool)>,
}

/// Drives an instance until `wanted` is closed. Work under way is left to end by itself then.
pub(super) async fn drive(
    seed: Seed,
    mut wanted: watch::Receiver<Wanted>,
    tell: mpsc::Sender<Told>,
) {
    let (mut driver, first) = Driver::new(seed);
    for event in first {
        driver.step(event);
    }
    let now = *wanted.borrow_and_update();
    driver.step(Event::Wanted(now));
    loop {
        if let Some(told) = driver.news()
            && tell.send(told).await.is_err()
        {
            return;
        }
        // Every arm is safe to drop half-way: the futures are kept in the driver.
        let event = tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => Event::Wanted(*wanted.borrow_and_update()),
                Err(_) => return,
            },
            event = driver.next() => event,
        };
        driver.step(event);
    }
}

impl Driver {
    fn new(seed: Seed) -> (Self, Vec<Event>) {
        let Seed { host, entry, workload, container, admission, found, before } = seed;
        let spec = &workload.spec;
        let rules = Rules {
            checked: spec.health_check() != HealthCheck::Alive,
            interval: spec.health.interval,
            failures: spec.health.failures,
            start_within: spec.rollout.start_within,
            stop_grace: spec.process.stop_grace,
            leased: entry.epoch > 0,
        };
        let clock = host.clock();
        let mut machine = Machine::new(rules, clock.now(), rand::random());
        if let Some(before) = &before {
            let death = before.last_exit.as_ref();
            let death =
                death.map(|exit| Death { cause: exit.cause.clone(), at: clock.moment(exit.at) });
            machine.recall(before.restarts, death);
        }
        let mut driver = Self {
            host,
            entry,
            workload,
            container,
            admission,
            machine,
            work: None,
            probe: None,
            exit: None,
            lease: None,
            progress: watch::channel(String::new()),
            last: None,
        };
        if driver.entry.epoch > 0 {
            let ran = found.is_some() || before.as_ref().is_some_and(ran);
            driver.host.hold(&driver.entry, &driver.container, ran);
        }
        let event = match found {
            None => None,
            Some(Found::Dead(cause)) => Some(Event::FoundDead(cause)),
            Some(Found::Runs { pid, started, ended }) => {
                driver.exit = Some(exited(ended));
                use api::status::InstanceState::Healthy;
                let healthy = before.is_some_and(|status| status.state == Healthy);
                Some(Event::Adopted { pid, started, healthy })
            }
        };
        (driver, event.into_iter().collect())
    }

    fn step(&mut self, event: Event) {
        if matches!(event, Event::Exited(_)) {
            self.exit = None;
            self.probe = None;
        }
        let now = self.host.clock().now();
        for effect in self.machine.step(event, now) {
            self.apply(effect);
        }
    }

    fn apply(&mut self, effect: Effect) {
        tracing::debug!(instance = %self.entry.instance, ?effect, "effect");
        let (host, entry) = (self.host.clone(), self.entry.clone());
        let (workload, container) = (self.workload.clone(), self.container.clone());
        match effect {
            Effect::Prepare => {
                let cancel = CancellationToken::new();
                let (cancelled, admission) = (cancel.clone(), self.admission);
                let tell = self.progress.0.clone();
                let prepare = async move {
                    let progress = |text: String| drop(tell.send_replace(text));
                    let prepared =
                        host.prepare(&entry, &workload, admission, &progress, cancelled).await;
                    Done::from(match prepared {
                        Ok(()) => Event::Prepared,
                        Err(why) => {
                            let Unprepared { message, retryable } = why;
                            Event::PrepareFailed { message, retryable }
                        }
                    })
                };
                self.work = Some((tokio::spawn(prepare), cancel));
            }
            Effect::Lease => self.ask_for_lease(),
            Effect::Start => self.begin(async move {
                match host.start(&container).await {
                    Ok(running) => {
                        let event = Event::Started { pid: running.pid };
                        Done { event, ended: Some(running.ended) }
                    }
                    Err(message) => Event::StartFailed { message }.into(),
                }
            }),
            Effect::Probe => {
                self.probe = Some(Box::pin(async move {
                    match host.probe(&entry, &workload).await {
                        Ok(()) => Event::ProbeSucceeded,
                        Err(why) => Event::ProbeFailed(why),
                    }
                }));
            }
            Effect::Stop { grace } => self.stop(grace.duration()),
            Effect::Kill => self.stop(Duration::ZERO),
            Effect::Delete => self.begin(async move {
                match host.delete(&container).await {
                    Ok(()) => Event::Deleted.into(),
                    Err(message) => Event::ClearFailed(message).into(),
                }
            }),
            Effect::Remove => {
                let before = self.work.take();
                self.lease = None;
                self.begin(async move {
                    if let Some((preparing, cancel)) = before {
                        cancel.cancel();
                        let _ = preparing.await;
                    }
                    match host.remove(&entry, &container).await {
                        Ok(()) => Event::Removed.into(),
                        Err(message) => Event::ClearFailed(message).into(),
                    }
                });
            }
        }
    }

    fn ask_for_lease(&mut self) {
        let (host, entry) = (self.host.clone(), self.entry.clone());
        let tell = self.progress.0.clone();
        self.lease = Some(Box::pin(async move {
            host.lease(&entry, &|text: String| drop(tell.send_replace(text))).await;
            Event::Leased
        }));
    }

    fn begin(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.work = Some((tokio::spawn(work), CancellationToken::new()));
    }

    /// The end itself is seen by the wait for it, a failure by the machine's next try.
    fn stop(&self, grace: Duration) {
        let (host, container) = (self.host.clone(), self.container.clone());
        tokio::spawn(async move { host.stop(&container, grace).await });
    }

    /// The next event of the instance's own; safe to be dropped and asked again.
    async fn next(&mut self) -> Event {
        let now = self.host.clock().now();
        let wake = self.machine.wake_at().map(|at| at.since(now).duration());
        let asleep = async {
            match wake {
                Some(wait) => tokio::time::sleep(wait).await,
                None => pending().await,
            }
        };
        let progress = &mut self.progress.1;
        let working = self.work.is_some() || self.lease.is_some();
        tokio::select! {
            done = finished(&mut self.work) => {
                self.work = None;
                if let Some(ended) = done.ended {
                    self.exit = Some(exited(ended));
                }
                done.event
            }
            event = happened(&mut self.exit) => event,
            event = happened(&mut self.lease) => {
                self.lease = None;
                event
            }
            event = happened(&mut self.probe) => {
                self.probe = None;
                event
            }
            Ok(()) = progress.changed(), if working => {
                Event::Progress(progress.borrow_and_update().clone())
            }
            () = asleep => Event::Tick,
        }
    }

    /// What changed since it was last told.
    fn news(&mut self) -> Option<Told> {
        let (report, over) = (self.machine.report(), self.machine.is_over());
        if self.last.as_ref().is_some_and(|(last, was)| *last == report && *was == over) {
            return None;
        }
        let status = self.status(&report);
        self.last = Some((report, over));
        Some(Told { status, over })
    }

    fn status(&self, report: &Report) -> InstanceStatus {
        let clock = self.host.clock();
        let exit =
            |death: &Death| Exit { cause: death.cause.clone(), at: clock.timestamp(death.at) };
        InstanceStatus {
            instance: self.entry.instance.clone(),
            state: report.state,
            since: clock.timestamp(report.since),
            pid: report.pid,
            restarts: report.restarts,
            last_exit: report.last_death.as_ref().map(exit),
            message: report.message.clone(),
        }
    }
}

/// Whether an instance that was reported so was started before.
fn ran(before: &InstanceStatus) -> bool {
    use api::status::{
        ExitCause,
        InstanceState::{Healthy, Starting, Stopping, Unhealthy},
    };
    let started = matches!(before.state, Starting | Healthy | Unhealthy | Stopping);
    let died = before.last_exit.as_ref();
    started || died.is_some_and(|exit| !matches!(exit.cause, ExitCause::StartFailed(_)))
}

/// The end of a container as an event.
fn exited(ended: Ended) -> Happening {
    Box::pin(async { Event::Exited(ended.await) })
}

async fn happened(happening: &mut Option<Happening>) -> Event {
    match happening {
        Some(happening) => happening.await,
        None => pending().await,
    }
}

async fn finished(work: &mut Option<(JoinHandle<Done>, CancellationToken)>) -> Done {
    match work {
        Some((handle, _)) => match handle.await {
            Ok(done) => done,
            // A panic of the work, which is a bug, must not leave the instance without an answer.
            Err(error) => Event::ClearFailed(format!("internal: {error}")).into(),
        },
        None => pending().await,
    }
}
