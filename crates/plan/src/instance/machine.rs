//! The machine itself: `step` is defined for every event in every state. An event that a state does
//! not await (an answer that was overtaken) changes nothing.

use api::assignment::Wanted;
use api::status::ExitCause;
use api::unit::Millis;

use super::event::{Effect, Event};
use super::report::{Death, Report};
use super::rules::{
    CLEAR_AGAIN, Rules, SETTLE, START_PROBE_FAST, START_PROBE_FAST_FOR, START_PROBE_SLOW,
    STOP_MARGIN,
};
use super::state::{Health, Probe, State, Why};
use crate::restart::{LONGEST_WAIT, Moment, Restarts};

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    rules: Rules,
    wanted: Wanted,
    pub(super) state: State,
    since: Moment,
    /// Whether `Prepare` was done since the last `Remove`.
    prepared: bool,
    /// Whether a container of this instance died, so that the next start is a restart.
    died: bool,
    restarts: u32,
    pace: Restarts,
    last_death: Option<Death>,
    message: String,
    jitter: u64,
}

impl Machine {
    /// A machine of which nothing was done yet. `jitter` is any number, best a different one for
    /// every instance. It rests until it is told [`Event::Adopted`], [`Event::FoundDead`] or
    /// [`Event::Wanted`].
    #[must_use]
    pub fn new(rules: Rules, now: Moment, jitter: u64) -> Self {
        Self {
            rules,
            wanted: Wanted::Run,
            state: State::New,
            since: now,
            prepared: false,
            died: false,
            restarts: 0,
            pace: Restarts::default(),
            last_death: None,
            message: String::new(),
            jitter,
        }
    }

    /// Gives the counts of an earlier life of the agent back, before the first event.
    pub fn recall(&mut self, restarts: u32, last_death: Option<Death>) {
        self.restarts = restarts;
        self.last_death = last_death;
    }

    /// Takes an event in and says what is to be done, in order.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let before = self.state;
        let effects = match event {
            Event::Wanted(wanted) => self.want(wanted, now),
            Event::Adopted { pid, started, healthy } => self.adopted(pid, started, healthy, now),
            Event::FoundDead(cause) => self.found_dead(cause, now),
            Event::Progress(text) => self.progress(text),
            Event::Prepared => self.is_prepared(now),
            Event::PrepareFailed { message, retryable } => {
                self.prepare_failed(message, retryable, now)
            }
            Event::Leased => self.leased(now),
            Event::Started { pid } => self.started(pid, now),
            Event::StartFailed { message } => self.start_failed(message, now),
            Event::Exited(cause) => self.exited(cause, now),
            Event::ProbeSucceeded => self.probed(None, now),
            Event::ProbeFailed(text) => self.probed(Some(text), now),
            Event::Deleted => self.deleted(now),
            Event::Removed => self.removed(),
            Event::ClearFailed(text) => self.clear_failed(text, now),
            Event::NeighbourHealthy => self.end_wait(now),
            Event::Tick => self.tick(now),
        };
        if self.state.shown() != before.shown() {
            self.since = now;
        }
        effects
    }

    /// When [`Event::Tick`] is wanted next, if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        match self.state {
            State::Waiting { until } => until,
            State::Running { started, health, probe, .. } => {
                let deadline = match health {
                    Health::Unproven if self.rules.checked => {
                        Some(started.after(self.rules.start_within))
                    }
                    Health::Unproven => Some(started.after(SETTLE)),
                    _ => None,
                };
                let probe = match probe {
                    Probe::At(at) => Some(at),
                    Probe::Never | Probe::Asked => None,
                };
                deadline.into_iter().chain(probe).min()
            }
            State::Ending { again, .. } => Some(again),
            State::Deleting { again, .. } | State::Removing { again } => again,
            State::New | State::Preparing | State::Leasing | State::Creating | State::Stopped => {
                None
            }
        }
    }

    /// What is told of it.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            state: self.state.shown(),
            since: self.since,
            pid: self.state.pid(),
            restarts: self.restarts,
            last_death: self.last_death.clone(),
            message: self.message.clone(),
        }
    }

    /// What the assignment wants of it.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Whether nothing of it is left because none is wanted: its driver may forget it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Stopped && self.wanted == Wanted::Stop
    }

    fn want(&mut self, wanted: Wanted, now: Moment) -> Vec<Effect> {
        self.wanted = wanted;
        match (wanted, self.state) {
            (Wanted::Run, State::New | State::Stopped) => self.begin(),
            (Wanted::Run, State::Waiting { until: None }) => self.begin(),
            (Wanted::Drain, State::New | State::Stopped | State::Leasing) => {
                self.state = State::Waiting { until: None };
                Vec::new()
            }
            (
                Wanted::Stop,
                State::New | State::Preparing | State::Leasing | State::Waiting { .. },
            ) => self.remove(),
            (Wanted::Stop, State::Running { pid, .. }) => {
                let grace = self.rules.stop_grace;
                let again = now.after(grace).after(STOP_MARGIN);
                self.state = State::Ending { pid, why: Why::Wanted, again };
                self.message.clear();
                vec![Effect::Stop { grace }]
            }
            // What is under way ends first; what comes then looks at what is wanted.
            _ => Vec::new(),
        }
    }

    /// The next step towards a running container when there is none.
    fn begin(&mut self) -> Vec<Effect> {
        self.message.clear();
        if !self.prepared {
            self.state = State::Preparing;
            return vec![Effect::Prepare];
        }
        if self.rules.leased {
            self.state = State::Leasing;
            "waits for its lease".clone_into(&mut self.message);
            return vec![Effect::Lease];
        }
        self.launch()
    }

    fn leased(&mut self, now: Moment) -> Vec<Effect> {
        match (self.state, self.wanted) {
            (State::Leasing, Wanted::Run) => self.launch(),
            (State::Leasing, _) => self.go_on(None, now),
            _ => Vec::new(),
        }
    }

    fn launch(&mut self) -> Vec<Effect> {
        self.message.clear();
        if self.died {
            self.restarts = self.restarts.saturating_add(1);
            self.died = false;
        }
        self.state = State::Creating;
        vec![Effect::Start]
    }

    fn remove(&mut self) -> Vec<Effect> {
        self.state = State::Removing { again: None };
        self.message.clear();
        vec![Effect::Remove]
    }

    fn adopted(&mut self, pid: u32, started: Moment, healthy: bool, now: Moment) -> Vec<Effect> {
        if self.state != State::New {
            return Vec::new();
        }
        // Its time to become healthy begins anew: nobody looked while no agent was there.
        let health = match healthy {
            true => Health::Good { since: started.max(self.since), failures: 0 },
            false => Health::Unproven,
        };
        let started = if healthy { started } else { now };
        let probe = if self.rules.checked { Probe::At(now) } else { Probe::Never };
        self.state = State::Running { pid, started, health, probe };
        Vec::new()
    }

    fn found_dead(&mut self, cause: ExitCause, now: Moment) -> Vec<Effect> {
        if self.state != State::New {
            return Vec::new();
        }
        self.bury(cause, Millis(0), now)
    }

    fn progress(&mut self, text: String) -> Vec<Effect> {
        if matches!(self.state, State::Preparing | State::Leasing) {
            self.message = text;
        }
        Vec::new()
    }

    fn is_prepared(&mut self, now: Moment) -> Vec<Effect> {
        if self.state != State::Preparing {
            return Vec::new();
        }
        self.prepared = true;
        self.go_on(None, now)
    }

    /// No container is there: starts one now or then, unless none is to be started.
    fn go_on(&mut self, until: Option<Moment>, now: Moment) -> Vec<Effect> {
        match self.wanted {
            Wanted::Stop => self.remove(),
            Wanted::Drain => {
                self.state = State::Waiting { until: None };
                "draining: not started again".clone_into(&mut self.message);
                Vec::new()
            }
            Wanted::Run if until.is_none_or(|until| until <= now) => self.begin(),
            Wanted::Run => {
                self.state = State::Waiting { until };
                Vec::new()
            }
        }
    }

    fn prepare_failed(&mut self, message: String, retryable: bool, now: Moment) -> Vec<Effect> {
        if self.state != State::Preparing {
            return Vec::new();
        }
        let wait = self.next_wait(Millis(0));
        let wait = if retryable { wait } else { LONGEST_WAIT };
        self.note_death(ExitCause::StartFailed(message.clone()), now);
        self.message = message;
        self.go_on(Some(now.after(wait)), now)
    }

    fn started(&mut self, pid: u32, now: Moment) -> Vec<Effect> {
        if self.state != State::Creating {
            return Vec::new();
        }
        let probe = if self.rules.checked { Probe::Asked } else { Probe::Never };
        self.state = State::Running { pid, started: now, health: Health::Unproven, probe };
        if self.wanted == Wanted::Stop {
            return self.want(Wanted::Stop, now);
        }
        if self.rules.checked { vec![Effect::Probe] } else { Vec::new() }
    }

    fn start_failed(&mut self, message: String, now: Moment) -> Vec<Effect> {
        if self.state != State::Creating {
            return Vec::new();
        }
        let wait = self.next_wait(Millis(0));
        self.died = true;
        self.note_death(ExitCause::StartFailed(message.clone()), now);
        self.message = message;
        self.go_on(Some(now.after(wait)), now)
    }

    fn exited(&mut self, cause: ExitCause, now: Moment) -> Vec<Effect> {
        match self.state {
            State::Running { health, .. } => {
                let healthy = match health {
                    Health::Good { since, .. } => now.since(since),
                    _ => Millis(0),
                };
                self.bury(cause, healthy, now)
            }
            State::Ending { why: Why::Unhealthy, .. } => {
                self.bury(ExitCause::Unhealthy, Millis(0), now)
            }
            State::Ending { why: Why::Wanted, .. } => {
                self.note_death(cause, now);
                if self.wanted == Wanted::Stop {
                    return self.remove();
                }
                self.state = State::Deleting { again: None, next: None };
                vec![Effect::Delete]
            }
            _ => Vec::new(),
        }
    }

    /// A container died that should not have: clears it away and paces its successor.
    fn bury(&mut self, cause: ExitCause, healthy: Millis, now: Moment) -> Vec<Effect> {
        // One that ended because no leader was in reach is not to blame: its lease paces it.
        let wait = match cause {
            ExitCause::Deadline => Millis(0),
            _ => self.next_wait(healthy),
        };
        self.died = true;
        self.message = format!("died: {cause}");
        self.note_death(cause, now);
        self.state = State::Deleting { again: None, next: Some(now.after(wait)) };
        vec![Effect::Delete]
    }

    fn note_death(&mut self, cause: ExitCause, now: Moment) {
        self.last_death = Some(Death { cause, at: now });
    }

    fn next_wait(&mut self, healthy: Millis) -> Millis {
        // One step of Knuth's linear congruential generator; its upper half is even enough here.
        self.jitter = self.jitter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.pace.died(healthy, self.jitter >> 33)
    }

    fn probed(&mut self, failed: Option<String>, now: Moment) -> Vec<Effect> {
        let State::Running { pid, started, health, probe: Probe::Asked } = self.state else {
            return Vec::new();
        };
        let next = |health| match health {
            Health::Unproven if now.since(started) < START_PROBE_FAST_FOR => START_PROBE_FAST,
            Health::Unproven => START_PROBE_SLOW,
            _ => self.rules.interval,
        };
        let limit = self.rules.failures.max(1);
        let health = match (&failed, health) {
            (None, Health::Good { since, .. }) => Health::Good { since, failures: 0 },
            (None, _) => Health::Good { since: now, failures: 0 },
            (Some(_), Health::Unproven) => Health::Unproven,
            (Some(_), Health::Good { since, failures }) if failures + 1 < limit => {
                Health::Good { since, failures: failures + 1 }
            }
            (Some(_), Health::Good { failures, .. } | Health::Bad { failures }) => {
                Health::Bad { failures: failures + 1 }
            }
        };
        let probe = Probe::At(now.after(next(health)));
        self.state = State::Running { pid, started, health, probe };
        self.message = failed.unwrap_or_default();
        match health {
            Health::Bad { failures } if failures >= limit.saturating_mul(2) => self.kill(pid, now),
            _ => Vec::new(),
        }
    }

    fn kill(&mut self, pid: u32, now: Moment) -> Vec<Effect> {
        self.state = State::Ending { pid, why: Why::Unhealthy, again: now.after(STOP_MARGIN) };
        vec![Effect::Kill]
    }

    fn deleted(&mut self, now: Moment) -> Vec<Effect> {
        match self.state {
            State::Deleting { again: None, next } => self.go_on(next, now),
            _ => Vec::new(),
        }
    }

    fn removed(&mut self) -> Vec<Effect> {
        if !matches!(self.state, State::Removing { again: None }) {
            return Vec::new();
        }
        self.state = State::Stopped;
        self.prepared = false;
        self.message.clear();
        match self.wanted {
            Wanted::Run => self.begin(),
            Wanted::Drain | Wanted::Stop => Vec::new(),
        }
    }

    fn clear_failed(&mut self, text: String, now: Moment) -> Vec<Effect> {
        match &mut self.state {
            State::Deleting { again, .. } | State::Removing { again } if again.is_none() => {
                *again = Some(now.after(CLEAR_AGAIN));
                self.message = text;
            }
            _ => {}
        }
        Vec::new()
    }

    fn end_wait(&mut self, now: Moment) -> Vec<Effect> {
        match self.state {
            State::Waiting { until: Some(_) } => self.go_on(None, now),
            _ => Vec::new(),
        }
    }

    fn tick(&mut self, now: Moment) -> Vec<Effect> {
        match self.state {
            State::Waiting { until: Some(until) } if until <= now => self.go_on(None, now),
            State::Running { .. } => self.tick_running(now),
            State::Ending { pid, why, again } if again <= now => {
                self.state = State::Ending { pid, why, again: now.after(STOP_MARGIN) };
                vec![Effect::Kill]
            }
            State::Deleting { again: Some(again), next } if again <= now => {
                self.state = State::Deleting { again: None, next };
                vec![Effect::Delete]
            }
            State::Removing { again: Some(again) } if again <= now => self.remove(),
            _ => Vec::new(),
        }
    }

    fn tick_running(&mut self, now: Moment) -> Vec<Effect> {
        let State::Running { pid, started, health, probe } = self.state else { return Vec::new() };
        if health == Health::Unproven {
            if !self.rules.checked && now.since(started) >= SETTLE {
                let health = Health::Good { since: now, failures: 0 };
                self.state = State::Running { pid, started, health, probe };
                self.message.clear();
                return Vec::new();
            }
            if self.rules.checked && now.since(started) >= self.rules.start_within {
                let within = self.rules.start_within;
                let last = std::mem::take(&mut self.message);
                self.message = format!("not healthy within {within}: {last}");
                return self.kill(pid, now);
            }
        }
        match probe {
            Probe::At(at) if at <= now => {
                self.state = State::Running { pid, started, health, probe: Probe::Asked };
                vec![Effect::Probe]
            }
            _ => Vec::new(),
        }
    }
}
