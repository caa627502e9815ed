//! Tables, properties and an exhaustive small world.

use std::collections::HashSet;

use api::assignment::Wanted;
use api::status::{ExitCause, InstanceState};
use api::unit::Millis;
use proptest::prelude::*;

use super::state::State;
use super::*;
use crate::restart::Moment;

const RULES: Rules = Rules {
    checked: true,
    interval: Millis(2000),
    failures: 3,
    start_within: Millis(5000),
    stop_grace: Millis(10_000),
    leased: false,
};

fn machine(rules: Rules) -> Machine {
    Machine::new(rules, Moment(0), 7)
}

fn started() -> Machine {
    let mut m = machine(RULES);
    assert_eq!(m.step(Event::Wanted(Wanted::Run), Moment(0)), [Effect::Prepare]);
    assert_eq!(m.step(Event::Prepared, Moment(5)), [Effect::Start]);
    assert_eq!(m.step(Event::Started { pid: 9 }, Moment(20)), [Effect::Probe]);
    m
}

#[test]
fn an_instance_becomes_healthy_and_its_probes_slow_down() {
    let mut m = started();
    assert_eq!(m.report().state, InstanceState::Starting);
    assert_eq!(m.step(Event::ProbeFailed("refused".into()), Moment(21)), []);
    assert_eq!(m.wake_at(), Some(Moment(46)));
    assert_eq!(m.step(Event::Tick, Moment(46)), [Effect::Probe]);
    assert_eq!(m.step(Event::ProbeSucceeded, Moment(47)), []);
    assert_eq!((m.report().state, m.report().pid), (InstanceState::Healthy, Some(9)));
    assert_eq!(m.report().message, "");
    assert_eq!(m.wake_at(), Some(Moment(2047)));
}

#[test]
fn a_singleton_starts_under_a_lease_only_and_at_once_after_its_deadline() {
    let mut m = machine(Rules { leased: true, checked: false, ..RULES });
    assert_eq!(m.step(Event::Wanted(Wanted::Run), Moment(0)), [Effect::Prepare]);
    assert_eq!(m.step(Event::Prepared, Moment(5)), [Effect::Lease]);
    assert_eq!(m.report().state, InstanceState::Waiting);
    assert_eq!(m.step(Event::Progress("held elsewhere".into()), Moment(6)), []);
    assert_eq!((m.report().message.as_str(), m.wake_at()), ("held elsewhere", None));
    assert_eq!(m.step(Event::Leased, Moment(9)), [Effect::Start]);
    assert_eq!(m.report().message, "");
    for at in [100, 200, 300] {
        assert_eq!(m.step(Event::Started { pid: 9 }, Moment(at)), []);
        assert_eq!(m.step(Event::Exited(ExitCause::Deadline), Moment(at)), [Effect::Delete]);
        assert_eq!(m.step(Event::Deleted, Moment(at)), [Effect::Lease], "no wait of its own");
        assert_eq!(m.step(Event::Leased, Moment(at)), [Effect::Start]);
    }
    assert_eq!(m.report().restarts, 3);
    let mut waiting = machine(Rules { leased: true, ..RULES });
    let _ = waiting.step(Event::Wanted(Wanted::Run), Moment(0));
    let _ = waiting.step(Event::Prepared, Moment(1));
    assert_eq!(waiting.step(Event::Wanted(Wanted::Stop), Moment(2)), [Effect::Remove]);
    assert_eq!(waiting.step(Event::Leased, Moment(3)), []);
}

#[test]
fn start_probes_come_fast_for_a_second_then_slower_until_the_end_of_its_time() {
    let mut m = started();
    let (mut now, mut probes) = (Moment(20), 1);
    let end = loop {
        assert_eq!(m.step(Event::ProbeFailed("no".into()), now), []);
        now = m.wake_at().unwrap();
        match m.step(Event::Tick, now).as_slice() {
            [Effect::Probe] => probes += 1,
            [Effect::Kill] => break now,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, Moment(5020));
    assert_eq!(probes, 1 + 40 + 39);
    assert_eq!(m.step(Event::Exited(ExitCause::Signaled(9)), end), [Effect::Delete]);
    assert_eq!(m.report().last_death.unwrap().cause, ExitCause::Unhealthy);
}

#[test]
fn the_first_restart_is_at_once_and_the_second_waits() {
    let mut m = started();
    let _ = m.step(Event::ProbeSucceeded, Moment(30));
    assert_eq!(m.step(Event::Exited(ExitCause::Signaled(9)), Moment(100)), [Effect::Delete]);
    assert_eq!(m.step(Event::Deleted, Moment(102)), [Effect::Start]);
    assert_eq!(m.report().restarts, 1);
    assert_eq!(m.step(Event::Started { pid: 10 }, Moment(110)), [Effect::Probe]);
    assert_eq!(m.step(Event::Exited(ExitCause::Exited(1)), Moment(120)), [Effect::Delete]);
    assert_eq!(m.step(Event::Deleted, Moment(121)), []);
    let wake = m.wake_at().unwrap();
    assert!((870..=1120).contains(&wake.0), "{wake:?}");
    assert_eq!(m.report().state, InstanceState::Waiting);
    assert_eq!(m.clone().step(Event::NeighbourHealthy, Moment(200)), [Effect::Start]);
    assert_eq!(m.step(Event::Tick, wake), [Effect::Start]);
    assert_eq!(m.report().restarts, 2);
}

#[test]
fn unhealthy_leaves_traffic_first_and_is_killed_after_as_many_again() {
    let mut m = started();
    let _ = m.step(Event::ProbeSucceeded, Moment(30));
    let mut states = Vec::new();
    for i in 0..6 {
        let now = m.wake_at().unwrap();
        assert_eq!(m.step(Event::Tick, now), [Effect::Probe], "{i}");
        let effects = m.step(Event::ProbeFailed("status 500".into()), now);
        states.push(m.report().state);
        assert_eq!(effects == [Effect::Kill], i == 5, "{i} {effects:?}");
    }
    use InstanceState::{Healthy, Unhealthy};
    assert_eq!(states, [Healthy, Healthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy]);
}

#[test]
fn without_a_check_alive_for_a_moment_is_healthy() {
    let mut m = machine(Rules { checked: false, ..RULES });
    let _ = m.step(Event::Wanted(Wanted::Run), Moment(0));
    let _ = m.step(Event::Prepared, Moment(0));
    assert_eq!(m.step(Event::Started { pid: 3 }, Moment(10)), []);
    assert_eq!(m.wake_at(), Some(Moment(10).after(SETTLE)));
    assert_eq!(m.step(Event::Tick, Moment(60)), []);
    assert_eq!((m.report().state, m.wake_at()), (InstanceState::Healthy, None));
}

#[test]
fn an_adopted_container_is_left_alone_and_needs_its_image_only_after_its_death() {
    let mut m = machine(RULES);
    let adopted = Event::Adopted { pid: 5, started: Moment(0), healthy: true };
    assert_eq!(m.step(adopted, Moment(10)), []);
    assert_eq!(m.step(Event::Wanted(Wanted::Run), Moment(10)), []);
    assert_eq!(m.report().state, InstanceState::Healthy);
    assert_eq!(m.step(Event::Tick, Moment(10)), [Effect::Probe]);
    assert_eq!(m.step(Event::Exited(ExitCause::Exited(0)), Moment(20)), [Effect::Delete]);
    assert_eq!(m.step(Event::Deleted, Moment(21)), [Effect::Prepare]);
    assert_eq!(m.step(Event::Prepared, Moment(22)), [Effect::Start]);
    assert_eq!(m.report().restarts, 1);
}

#[test]
fn what_dies_while_draining_is_not_started_again_until_it_is_wanted() {
    let mut m = started();
    assert_eq!(m.step(Event::Wanted(Wanted::Drain), Moment(30)), []);
    assert_eq!(m.step(Event::Exited(ExitCause::Exited(0)), Moment(31)), [Effect::Delete]);
    assert_eq!(m.step(Event::Deleted, Moment(32)), []);
    assert_eq!((m.report().state, m.wake_at()), (InstanceState::Waiting, None));
    assert_eq!(m.clone().step(Event::Wanted(Wanted::Run), Moment(40)), [Effect::Start]);
    assert_eq!(m.step(Event::Wanted(Wanted::Stop), Moment(40)), [Effect::Remove]);
    assert_eq!(m.step(Event::Removed, Moment(41)), []);
    assert!(m.is_over());
}

#[test]
fn a_stop_that_is_not_obeyed_is_followed_by_kills() {
    let mut m = started();
    let stop = [Effect::Stop { grace: Millis(10_000) }];
    assert_eq!(m.step(Event::Wanted(Wanted::Stop), Moment(30)), stop);
    assert_eq!(m.step(Event::Wanted(Wanted::Stop), Moment(31)), []);
    let at = m.wake_at().unwrap();
    assert_eq!(at, Moment(12_030));
    assert_eq!(m.step(Event::Tick, at), [Effect::Kill]);
    assert_eq!(m.step(Event::Tick, m.wake_at().unwrap()), [Effect::Kill]);
    assert_eq!(m.step(Event::Exited(ExitCause::Signaled(9)), at), [Effect::Remove]);
    assert_eq!(m.step(Event::ClearFailed("busy".into()), at), []);
    assert_eq!(m.report().message, "busy");
    assert_eq!(m.step(Event::Tick, m.wake_at().unwrap()), [Effect::Remove]);
    let _ = m.step(Event::Removed, at);
    assert!(m.is_over());
}

#[test]
fn a_final_failure_to_prepare_waits_long() {
    let mut m = machine(RULES);
    let _ = m.step(Event::Wanted(Wanted::Run), Moment(0));
    let failed = Event::PrepareFailed { message: "wrong digest".into(), retryable: false };
    assert_eq!(m.step(failed, Moment(1)), []);
    assert_eq!(m.wake_at(), Some(Moment(30_001)));
    assert_eq!(m.report().message, "wrong digest");
    let soon = Event::PrepareFailed { message: "timed out".into(), retryable: true };
    assert_eq!(m.step(Event::Tick, Moment(30_001)), [Effect::Prepare]);
    assert_eq!(m.step(soon, Moment(30_002)), []);
    assert!(m.wake_at().unwrap() <= Moment(31_002));
}

/// The machine's host: which container there is and which work is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    machine: Machine,
    container: Container,
    work: Option<Effect>,
    probing: bool,
    leasing: bool,
    now: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Container {
    None,
    Runs { told: bool },
    Dead,
}

impl World {
    fn tell(&self, event: Event) -> Self {
        let mut world = self.clone();
        let effects = world.machine.step(event, Moment(world.now));
        for effect in effects {
            world.apply(effect);
        }
        world.check();
        world
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Start => {
                assert_eq!(self.container, Container::None, "a second container: {self:?}");
                assert_eq!(self.work, None);
                assert_eq!(self.machine.wanted(), Wanted::Run, "{self:?}");
                assert!(!self.leasing, "{self:?}");
                self.work = Some(effect);
            }
            Effect::Prepare => {
                assert_eq!((self.container, self.work), (Container::None, None));
                self.work = Some(effect);
            }
            Effect::Delete => {
                assert_eq!((self.container, self.work), (Container::Dead, None));
                self.work = Some(effect);
            }
            Effect::Remove => {
                assert!(!matches!(self.container, Container::Runs { .. }), "{self:?}");
                assert!(matches!(self.work, None | Some(Effect::Prepare)), "{self:?}");
                self.leasing = false;
                self.work = Some(effect);
            }
            Effect::Lease => {
                assert_eq!((self.container, self.work), (Container::None, None), "{self:?}");
                self.leasing = true;
            }
            Effect::Probe => {
                assert!(!self.probing, "{self:?}");
                self.probing = true;
            }
            Effect::Stop { .. } | Effect::Kill => match self.container {
                Container::Runs { .. } => self.container = Container::Runs { told: true },
                Container::None => panic!("nothing to stop: {self:?}"),
                Container::Dead => {}
            },
        }
    }

    fn check(&self) {
        let report = self.machine.report();
        if report.state == InstanceState::Stopped {
            assert_eq!((self.container, self.work), (Container::None, None), "{self:?}");
        }
        if report.state == InstanceState::Healthy {
            assert_ne!(self.container, Container::None, "{self:?}");
        }
        // It never rests for ever while something is wanted of it.
        let rests = self.machine.wake_at().is_none() && self.work.is_none();
        let waits =
            matches!(self.container, Container::Runs { .. }) || self.probing || self.leasing;
        let done = self.machine.is_over() || self.machine.wanted() == Wanted::Drain;
        let new = self.machine.state == State::New;
        assert!(!rests || waits || done || new, "stuck: {self:?}");
    }

    /// Everything that can come next.
    fn successors(&self) -> Vec<Self> {
        let mut next = Vec::new();
        for wanted in [Wanted::Run, Wanted::Drain, Wanted::Stop] {
            if wanted != self.machine.wanted() {
                next.push(self.tell(Event::Wanted(wanted)));
            }
        }
        if let Some(at) = self.machine.wake_at() {
            let mut later = self.clone();
            later.now = later.now.max(at.0);
            next.push(later.tell(Event::Tick));
        }
        if let Some(work) = self.work {
            let mut done = self.clone();
            done.work = None;
            match work {
                Effect::Prepare => {
                    next.push(done.tell(Event::Prepared));
                    let message = "m".to_owned();
                    next.push(done.tell(Event::PrepareFailed { message, retryable: true }));
                }
                Effect::Start => {
                    next.push(done.tell(Event::StartFailed { message: "m".into() }));
                    done.container = Container::Runs { told: false };
                    next.push(done.tell(Event::Started { pid: 1 }));
                }
                Effect::Delete | Effect::Remove => {
                    next.push(done.tell(Event::ClearFailed("m".into())));
                    done.container = Container::None;
                    let removed = work == Effect::Remove;
                    let event = if removed { Event::Removed } else { Event::Deleted };
                    next.push(done.tell(event));
                }
                _ => unreachable!("not work"),
            }
        }
        if self.leasing {
            let mut done = self.clone();
            done.leasing = false;
            next.push(done.tell(Event::Leased));
        }
        if self.probing {
            let mut done = self.clone();
            done.probing = false;
            next.push(done.tell(Event::ProbeSucceeded));
            next.push(done.tell(Event::ProbeFailed("m".into())));
        }
        if let Container::Runs { .. } = self.container {
            let mut dead = self.clone();
            dead.container = Container::Dead;
            dead.probing = false;
            next.push(dead.tell(Event::Exited(ExitCause::Exited(1))));
        }
        next
    }

    /// Everything goes on well from here: what is asked for is done, containers obey.
    fn settles(mut self) -> Self {
        for _ in 0..60 {
            if let Some(work) = self.work.take() {
                let event = match work {
                    Effect::Prepare => Event::Prepared,
                    Effect::Start => {
                        self.container = Container::Runs { told: false };
                        Event::Started { pid: 1 }
                    }
                    Effect::Delete => Event::Deleted,
                    _ => Event::Removed,
                };
                if matches!(work, Effect::Delete | Effect::Remove) {
                    self.container = Container::None;
                }
                self = self.tell(event);
            } else if self.container == (Container::Runs { told: true }) {
                self.container = Container::Dead;
                self.probing = false;
                self = self.tell(Event::Exited(ExitCause::Signaled(15)));
            } else if self.leasing {
                self.leasing = false;
                self = self.tell(Event::Leased);
            } else if self.probing {
                self.probing = false;
                self = self.tell(Event::ProbeSucceeded);
            } else if let Some(at) = self.machine.wake_at() {
                self.now = self.now.max(at.0);
                self = self.tell(Event::Tick);
            }
        }
        self
    }
}

/// Walks every order of events up to a depth; each world reached must stop when told to, and run
/// when told to.
#[test]
fn every_small_world_keeps_its_promises() {
    for (checked, leased) in [(true, false), (false, false), (false, true)] {
        let rules = Rules { checked, leased, failures: 1, start_within: Millis(60), ..RULES };
        let adopt = Event::Adopted { pid: 1, started: Moment(0), healthy: false };
        let start = World {
            machine: machine(rules),
            container: Container::None,
            work: None,
            probing: false,
            leasing: false,
            now: 0,
        };
        let running = World { container: Container::Runs { told: false }, ..start.clone() };
        let dead = World { container: Container::Dead, ..start.clone() };
        let mut seen = HashSet::new();
        let mut layer = vec![
            start.tell(Event::Wanted(Wanted::Run)),
            running.tell(adopt),
            dead.tell(Event::FoundDead(ExitCause::Lost)),
        ];
        for _ in 0..7 {
            let mut next = Vec::new();
            for world in layer {
                if seen.insert(world.clone()) {
                    let stopped = world.tell(Event::Wanted(Wanted::Stop)).settles();
                    assert!(stopped.machine.is_over(), "from {world:?}\nto {stopped:?}");
                    let run = world.tell(Event::Wanted(Wanted::Run)).settles();
                    let state = run.machine.report().state;
                    assert_eq!(state, InstanceState::Healthy, "from {world:?}\nto {run:?}");
                    next.extend(world.successors());
                }
            }
            layer = next;
        }
        assert!(seen.len() > 500, "{}", seen.len());
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        prop::sample::select(vec![Wanted::Run, Wanted::Drain, Wanted::Stop])
            .prop_map(Event::Wanted),
        any::<bool>().prop_map(|healthy| Event::Adopted { pid: 1, started: Moment(3), healthy }),
        Just(Event::FoundDead(ExitCause::Lost)),
        Just(Event::Progress("p".into())),
        Just(Event::Prepared),
        any::<bool>().prop_map(|retryable| Event::PrepareFailed { message: "m".into(), retryable }),
        Just(Event::Leased),
        Just(Event::Started { pid: 2 }),
        Just(Event::StartFailed { message: "m".into() }),
        Just(Event::Exited(ExitCause::OutOfMemory)),
        Just(Event::ProbeSucceeded),
        Just(Event::ProbeFailed("p".into())),
        Just(Event::Deleted),
        Just(Event::Removed),
        Just(Event::ClearFailed("c".into())),
        Just(Event::NeighbourHealthy),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Any event in any state, in any order, at any time: never a panic, at most one effect, time
    /// of waking never in a past that was already ticked.
    #[test]
    fn every_event_in_every_state_is_defined(
        events in prop::collection::vec((any_event(), 0u64..3000), 0..60),
        checked in any::<bool>(),
        leased in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut m = Machine::new(Rules { checked, leased, ..RULES }, Moment(0), seed);
        let mut now = 0;
        for (event, passed) in events {
            now += passed;
            let tick = event == Event::Tick;
            let effects = m.step(event, Moment(now));
            prop_assert!(effects.len() <= 1);
            let asks = !effects.is_empty();
            if tick && !asks {
                let later = m.wake_at().is_none_or(|at| at.0 > now);
                prop_assert!(later, "a tick that asks for itself again: {:?}", m);
            }
        }
    }
}
