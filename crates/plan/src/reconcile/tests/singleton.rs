//! Singletons: one after the other, and not before the one before is over for certain.

use api::deployment::Phase;
use api::unit::Millis;

use super::cluster::{Behaviour, Cluster, ONLY};

/// Steps of 100 ms until something holds, at most `most`.
fn steps_until(cluster: &mut Cluster, most: u32, holds: impl Fn(&Cluster) -> bool) -> u32 {
    for step in 0..most {
        if holds(cluster) {
            return step;
        }
        cluster.step(Behaviour::Well);
    }
    panic!("not within {most} steps: {:?}", cluster.last.report);
}

/// A cluster whose singleton serves, and its host.
fn serving(hosts: usize) -> (Cluster, String) {
    let mut cluster = Cluster::new(hosts, 4000);
    cluster.deploy(ONLY, 1, 1);
    cluster.settle();
    assert_eq!((cluster.phase(ONLY), cluster.serving(ONLY)), (Phase::Complete, vec![(1, 1)]));
    let host = cluster.host_of(ONLY);
    (cluster, host)
}

#[test]
fn a_release_takes_the_place_of_the_one_before_when_that_is_gone() {
    let (mut cluster, _) = serving(2);
    assert_eq!(cluster.deployment(ONLY).epoch, 1);
    cluster.deploy(ONLY, 2, 1);
    for _ in 0..100 {
        cluster.step(Behaviour::Well);
        assert!(cluster.total(ONLY) <= 1);
    }
    assert_eq!((cluster.phase(ONLY), cluster.serving(ONLY)), (Phase::Complete, vec![(2, 1)]));
    assert_eq!(cluster.deployment(ONLY).epoch, 2);
}

#[test]
fn a_release_that_never_works_makes_way_for_the_one_before() {
    let (mut cluster, _) = serving(2);
    cluster.broken.insert(2);
    cluster.deploy(ONLY, 2, 1);
    cluster.settle();
    let state = (cluster.phase(ONLY), cluster.serving(ONLY));
    assert_eq!(state, (Phase::RolledBack, vec![(1, 1)]));
    assert_eq!(cluster.deployment(ONLY).epoch, 3);
}

#[test]
fn a_lost_one_is_replaced_when_its_lease_is_over_and_never_comes_back() {
    let (mut cluster, home) = serving(3);
    cluster.lose(&home, false, true);
    cluster.step(Behaviour::Well);
    let why = |cluster: &Cluster| {
        let report = cluster.last.report.iter().find(|report| report.app.as_str() == ONLY);
        report.unwrap().blockers.iter().map(ToString::to_string).collect::<String>()
    };
    assert!(why(&cluster).contains("its successor waits 3s400ms"), "{}", why(&cluster));
    assert!(cluster.last.wake_at.is_some());
    let waited = steps_until(&mut cluster, 60, |cluster| cluster.alive(ONLY) == 1);
    // The last grant was one step before the loss; each step takes 100 ms.
    assert_eq!(waited, 34);
    cluster.settle();
    assert_eq!((cluster.total(ONLY), cluster.really_running()), (2, 1));
    let heir = cluster.deployment(ONLY).epoch;
    cluster.restore(&home);
    cluster.settle();
    assert_eq!((cluster.total(ONLY), cluster.serving(ONLY)), (1, vec![(1, 1)]));
    assert_ne!(cluster.host_of(ONLY), home);
    assert_eq!(cluster.deployment(ONLY).epoch, heir, "nothing was started anew");
}

#[test]
fn a_host_that_is_only_cut_off_keeps_it_and_starts_it_again() {
    let (mut cluster, home) = serving(3);
    cluster.cut_off(&home);
    for _ in 0..100 {
        cluster.step(Behaviour::Well);
        assert_eq!(cluster.total(ONLY), 1);
    }
    assert_eq!(cluster.really_running(), 0, "its deadline passed");
    cluster.restore(&home);
    steps_until(&mut cluster, 10, |cluster| cluster.serving(ONLY) == [(1, 1)]);
    assert_eq!((cluster.host_of(ONLY), cluster.deployment(ONLY).epoch), (home, 1));
}

#[test]
fn a_new_leader_renews_what_runs_and_replaces_what_is_lost_only_after_a_lease() {
    let (mut cluster, home) = serving(3);
    cluster.take_over();
    for _ in 0..50 {
        cluster.step(Behaviour::Well);
        assert_eq!(cluster.really_running(), 1, "it is renewed");
    }
    cluster.lose(&home, true, true);
    for _ in 0..30 {
        cluster.step(Behaviour::Well);
    }
    assert_eq!(cluster.alive(ONLY), 0);
    cluster.take_over();
    let waited = steps_until(&mut cluster, 60, |cluster| cluster.alive(ONLY) == 1);
    assert_eq!(waited, 35);
}

#[test]
fn a_drained_host_gives_it_up_before_another_has_it() {
    let (mut cluster, home) = serving(2);
    cluster.drain(&home);
    for _ in 0..100 {
        cluster.step(Behaviour::Well);
        assert!(cluster.total(ONLY) <= 1);
    }
    assert_eq!(cluster.serving(ONLY), [(1, 1)]);
    assert_ne!(cluster.host_of(ONLY), home);
}

#[test]
fn a_host_that_was_removed_is_waited_for_too() {
    let (mut cluster, home) = serving(3);
    cluster.lose(&home, false, true);
    cluster.forget(&home);
    cluster.step(Behaviour::Well);
    assert_eq!(cluster.total(ONLY), 0);
    let report = cluster.last.report.iter().find(|report| report.app.as_str() == ONLY).unwrap();
    let text = report.blockers.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("a host that was removed"), "{text}");
    let waited = steps_until(&mut cluster, 60, |cluster| cluster.total(ONLY) == 1);
    assert!(Millis(u64::from(waited) * 100).0 >= 3300, "{waited}");
}
