//! Hosts that die, are cut off, come back and change their failure domain.

use api::assignment::Wanted;

use super::cluster::{Behaviour, Cluster};
use crate::report::Blocker;

fn steps(cluster: &mut Cluster, count: usize) {
    for _ in 0..count {
        cluster.step(Behaviour::Well);
    }
}

fn text(cluster: &Cluster) -> String {
    let report = cluster.last.report.iter().find(|r| r.app.as_str() == "shop").unwrap();
    report.blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Four hosts on two hypervisors with an app of four.
fn four() -> Cluster {
    let mut cluster = Cluster::new(4, 4000);
    cluster.deploy("shop", 1, 4);
    cluster.settle();
    assert_eq!([0, 1, 2, 3].map(|n| cluster.on_host(&format!("h{n}"))), [1; 4]);
    cluster
}

#[test]
fn a_suspect_loses_its_traffic_and_nothing_else() {
    let mut cluster = four();
    let before = cluster.instances("shop", 1);
    cluster.lose("h0", true, false);
    steps(&mut cluster, 5);
    assert_eq!(cluster.instances("shop", 1), before);
    assert_eq!(crate::tables::tables(&cluster.snapshot).serving.len(), 3);
    cluster.restore("h0");
}

#[test]
fn the_work_of_a_dead_host_is_replaced_by_the_very_next_plan() {
    let mut cluster = four();
    let lost = cluster.instances("shop", 1);
    cluster.lose("h0", true, true);
    cluster.step(Behaviour::Well);
    assert_eq!((cluster.alive("shop"), cluster.total("shop")), (4, 5));
    let fresh: Vec<_> =
        cluster.snapshot.entries().filter(|(_, e)| !lost.contains(&e.instance)).collect();
    assert_eq!(fresh.len(), 1);
    let replaced = fresh[0].1.replaces.clone().unwrap();
    assert!(cluster.snapshot.assignments.iter().any(|(h, a)| {
        h.as_str() == "h0" && a.entry(&replaced).is_some_and(|e| e.wanted == Wanted::Run)
    }));
    cluster.settle();
    assert_eq!((cluster.alive("shop"), cluster.total("shop")), (4, 5));
}

#[test]
fn every_replacement_names_another_lost_one() {
    // In one of the orders the first lost by name is the one that was replaced before.
    for [first, second] in [["h0", "h2"], ["h2", "h0"]] {
        let mut cluster = four();
        cluster.lose(first, true, true);
        steps(&mut cluster, 50);
        cluster.lose(second, true, true);
        steps(&mut cluster, 50);
        let alive = cluster.snapshot.entries().filter(|(h, _)| !cluster.snapshot.is_down(h));
        let mut named: Vec<_> = alive.filter_map(|(_, entry)| entry.replaces.clone()).collect();
        let count = named.len();
        named.sort();
        named.dedup();
        assert_eq!((count, named.len(), cluster.alive("shop")), (2, 2, 4));
    }
}

#[test]
fn one_that_is_cut_off_is_left_alone_and_gets_nothing() {
    let mut cluster = four();
    let before = cluster.instances("shop", 1);
    cluster.cut_off("h0");
    cluster.settle();
    assert_eq!(cluster.instances("shop", 1), before);
    cluster.deploy("cart", 1, 4);
    steps(&mut cluster, 50);
    assert_eq!(cluster.on_host("h0"), 1);
    assert_eq!(cluster.total("cart"), 4);
}

/// Cut off for long enough to be replaced, it comes back with all it ran.
#[test]
fn a_host_that_returns_is_weighed_make_before_break() {
    let mut cluster = four();
    let h0 = api::id::HostId::new("h0").unwrap();
    let back = cluster.snapshot.assignments[&h0].entries[0].instance.clone();
    cluster.lose("h0", false, true);
    steps(&mut cluster, 100);
    assert_eq!(cluster.in_service("shop"), 4);
    cluster.restore("h0");
    for _ in 0..200 {
        cluster.step(Behaviour::Well);
        let healthy: u32 = cluster.serving("shop").iter().map(|(_, n)| n).sum();
        assert!(healthy >= 4, "{healthy} healthy");
    }
    assert_eq!([0, 1, 2, 3].map(|n| cluster.on_host(&format!("h{n}"))), [1; 4]);
    let kept = cluster.instances("shop", 1);
    assert!(kept.contains(&back), "what came back stands best and stays");
}

#[test]
fn a_host_that_was_without_power_gets_its_share_again() {
    let mut cluster = four();
    cluster.lose("h0", true, true);
    cluster.lose("h1", true, true);
    steps(&mut cluster, 100);
    assert_eq!((cluster.alive("shop"), cluster.in_service("shop")), (4, 4));
    cluster.restore("h0");
    cluster.restore("h1");
    for _ in 0..300 {
        cluster.step(Behaviour::Well);
        assert!(cluster.serving("shop").iter().map(|(_, n)| n).sum::<u32>() >= 4);
    }
    assert_eq!([0, 1, 2, 3].map(|n| cluster.on_host(&format!("h{n}"))), [1; 4]);
}

#[test]
fn spread_is_repaired_one_at_a_time_when_a_host_changes_its_hypervisor() {
    let mut cluster = Cluster::new(4, 4000);
    cluster.deploy("shop", 1, 2);
    cluster.settle();
    let crowded: Vec<String> = (0..4).map(|n| format!("h{n}")).collect();
    let crowded: Vec<&String> = crowded.iter().filter(|h| cluster.on_host(h) == 1).collect();
    assert_eq!(crowded.len(), 2);
    for host in &crowded {
        cluster.migrate(host, "together");
    }
    let mut seen_moving = false;
    for _ in 0..200 {
        cluster.step(Behaviour::Well);
        assert!(cluster.total("shop") <= 3, "one at a time");
        assert!(cluster.serving("shop").iter().map(|(_, n)| n).sum::<u32>() >= 2);
        seen_moving |= text(&cluster).contains(" beside ");
    }
    assert!(seen_moving);
    assert_eq!(crowded.iter().map(|h| cluster.on_host(h)).sum::<usize>(), 1);
    assert_eq!(text(&cluster), "");
}

#[test]
fn repair_can_be_turned_off_and_the_report_says_what_is_uneven() {
    let mut cluster = four();
    cluster.snapshot.moves = 0;
    for host in ["h0", "h1", "h2"] {
        cluster.migrate(host, "hv0");
    }
    let before = cluster.instances("shop", 1);
    cluster.settle();
    assert_eq!(cluster.instances("shop", 1), before);
    assert!(text(&cluster).contains("hv0 holds 3, its even share is 2"), "{}", text(&cluster));
}

#[test]
fn in_safe_mode_replacements_keep_to_their_budget() {
    let mut cluster = Cluster::new(4, 4000);
    cluster.deploy("shop", 1, 8);
    cluster.settle();
    for host in ["h0", "h1", "h2"] {
        cluster.lose(host, true, true);
    }
    cluster.snapshot.safe_mode = Some(2);
    // The budget is given to each plan; here it is spent by the first.
    let outcome = crate::reconcile::reconcile(
        &cluster.snapshot,
        api::time::Timestamp(0),
        &mut crate::reconcile::Ids::new(3),
    );
    assert_eq!((outcome.replaced, outcome.placed.len()), (2, 2));
    let waiting = outcome.report.iter().flat_map(|r| &r.blockers);
    let waiting: Vec<_> =
        waiting.filter(|b| matches!(b, Blocker::SafeMode { waiting: 4 })).collect();
    assert_eq!(waiting.len(), 1);
    cluster.snapshot.safe_mode = None;
    cluster.settle();
    assert_eq!(cluster.in_service("shop"), 8);
}

#[test]
fn a_release_is_not_sent_again_to_where_it_died() {
    let mut cluster = Cluster::new(3, 4000);
    cluster.deploy("shop", 1, 2);
    cluster.settle();
    let place = |n: usize| format!("h{n}");
    let homes: Vec<usize> = (0..3).filter(|n| cluster.on_host(&place(*n)) == 1).collect();
    let (ill, dead) = (homes[0], homes[1]);
    let name = api::id::HostId::new(place(ill)).unwrap();
    let status = &mut cluster.snapshot.statuses.get_mut(&name).unwrap().instances[0];
    status.state = api::status::InstanceState::Waiting;
    let exit = api::status::ExitCause::OutOfMemory;
    status.last_exit = Some(api::status::Exit { cause: exit, at: api::time::Timestamp(0) });
    cluster.lose(&place(dead), true, true);
    cluster.step(Behaviour::Well);
    assert_eq!(cluster.on_host(&place(ill)), 1);
    assert_eq!(cluster.alive("shop"), 2);
}
