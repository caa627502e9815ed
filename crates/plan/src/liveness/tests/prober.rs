//! An observer's memory.

use std::net::SocketAddr;

use api::liveness::{ObserveTarget, Observed, Silence};
use api::unit::Millis;
use proptest::prelude::*;

use super::*;
use crate::liveness::Prober;
use crate::restart::Moment;

fn list(targets: usize) -> Observe {
    let address: SocketAddr = "10.0.0.1:7444".parse().unwrap();
    let targets = (0..targets).map(|n| ObserveTarget { host: id(n), address }).collect();
    Observe { targets, ..form() }
}

/// Lets time pass in ticks; `answers` says who answers when. Gives what was said and when.
fn live(
    prober: &mut Prober,
    ticks: impl IntoIterator<Item = u64>,
    answers: impl Fn(usize, u64) -> bool,
) -> Vec<(u64, Observed)> {
    let mut said = Vec::new();
    for at in ticks {
        let now = Moment(at);
        for (host, _) in prober.tick(now) {
            let n: usize = host.as_str()[1..].parse().unwrap();
            if answers(n, at) {
                prober.answered(&host, now);
            }
        }
        said.extend(prober.news(now).map(|news| (at, news)));
    }
    said
}

fn silence(n: usize, ms: u64) -> Silence {
    Silence { host: id(n), silent: Millis(ms) }
}

#[test]
fn who_heard_nobody_and_hears_one_again_does_not_speak_of_the_others_yet() {
    let mut prober = Prober::new(Moment(0));
    prober.take(list(3), Moment(0));
    // Cut off from all for ten seconds; afterwards answers come one after the other, and those of
    // the last never.
    let back = |n: usize, at: u64| match n {
        0 => at >= 12_000,
        1 => at >= 12_050,
        _ => false,
    };
    let said = live(&mut prober, (0..20_000).step_by(50), |n, at| at < 2000 || back(n, at));
    let later: Vec<&(u64, Observed)> = said.iter().filter(|(at, _)| *at >= 12_000).collect();
    for (at, observed) in &later {
        let counts = observed.votes && !observed.silent.is_empty();
        assert!(!counts || *at >= 12_750, "{at}: {observed:?}");
    }
    let (at, last) = later.last().unwrap();
    assert_eq!((*at, last.votes, &last.silent), (13_500, true, &vec![silence(2, 1500)]));
}

#[test]
fn silence_is_told_at_its_marks_and_its_end_at_once() {
    let mut prober = Prober::new(Moment(0));
    prober.take(list(2), Moment(0));
    let said =
        live(&mut prober, (0..6000).step_by(50), |n, at| n == 0 || !(2000..4000).contains(&at));
    let told: Vec<(u64, bool, Vec<Silence>)> =
        said.into_iter().map(|(at, o)| (at, o.votes, o.silent)).collect();
    let expected = [
        (0, false, vec![]),
        (750, true, vec![]),
        (2700, true, vec![silence(1, 750)]),
        (3450, true, vec![silence(1, 1500)]),
        (4000, true, vec![]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn one_who_slept_neither_votes_nor_believes_what_it_slept_through() {
    let mut prober = Prober::new(Moment(0));
    prober.take(list(2), Moment(0));
    let _ = live(&mut prober, (0..3000).step_by(50), |_, _| true);
    // Frozen for 40 s; the first thing on waking may be an answer, not the timer.
    prober.answered(&id(0), Moment(43_000));
    let news = prober.news(Moment(43_000)).unwrap();
    assert_eq!((news.votes, news.silent), (false, vec![]));
    let said = live(&mut prober, (43_000..45_000).step_by(50), |n, _| n == 0);
    let votes: Vec<(u64, bool, usize)> =
        said.iter().map(|(at, o)| (*at, o.votes, o.silent.len())).collect();
    assert_eq!(votes, [(43_750, true, 1), (44_500, true, 1)]);
}

#[test]
fn a_new_list_keeps_what_is_known_of_those_who_stay() {
    let mut prober = Prober::new(Moment(0));
    prober.take(list(2), Moment(0));
    let _ = live(&mut prober, (0..1500).step_by(50), |n, at| n == 0 || at < 500);
    let longer = Observe { generation: Generation(8), ..list(3) };
    prober.take(longer, Moment(1500));
    let news = prober.news(Moment(1500)).unwrap();
    let expected = vec![silence(1, 750)];
    assert_eq!((news.generation, news.silent), (Generation(8), expected));
    prober.take(list(1), Moment(1500));
    assert_eq!(prober.news(Moment(1500)).unwrap().silent, []);
}

#[test]
fn one_that_owes_is_probed_more_often() {
    let mut prober = Prober::new(Moment(0));
    prober.take(list(1), Moment(0));
    let mut probes = Vec::new();
    for at in (0..2000).step_by(50) {
        for (host, _) in prober.tick(Moment(at)) {
            probes.push(at);
            if at < 900 {
                prober.answered(&host, Moment(at));
            }
        }
    }
    let calm = probes.iter().filter(|at| **at < 900).count();
    let haste = probes.iter().filter(|at| (1100..2000).contains(*at)).count();
    assert_eq!((calm, haste), (6, 18));
}

proptest! {
    /// However the timer jitters and answers come: a target is called silent only when none of its
    /// answers came for as long, and never while this observer does not vote for having slept or
    /// heard nobody.
    #[test]
    fn silence_is_never_longer_than_it_was(
        steps in prop::collection::vec((1u64..700, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let mut prober = Prober::new(Moment(0));
        prober.take(list(2), Moment(0));
        let (mut at, mut heard, mut slept) = (0, [0u64; 2], 0);
        for (step, first, second) in steps {
            at += step;
            if step > 300 {
                slept = at;
            }
            let _ = prober.tick(Moment(at));
            for (n, answers) in [first, second].into_iter().enumerate() {
                if answers {
                    // Who heard nobody begins anew with the first that it hears.
                    if heard.iter().all(|heard| at - slept.max(*heard) >= 750) {
                        slept = at;
                    }
                    prober.answered(&id(n), Moment(at));
                    heard[n] = at;
                }
            }
            if let Some(news) = prober.news(Moment(at)) {
                prop_assert_eq!(news.votes, at - slept >= 750, "at {}, slept until {}", at, slept);
                for silence in news.silent {
                    let n: usize = silence.host.as_str()[1..].parse().unwrap();
                    prop_assert!(silence.silent.0 <= at - heard[n].max(slept));
                }
            }
        }
    }
}
