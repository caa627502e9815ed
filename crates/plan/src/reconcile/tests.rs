//! Whole plans against small clusters whose hosts behave as told: every plan passes the linter,
//! planning again on its result plans nothing, and when things calm down the goal is reached.

mod cluster;
mod hosts;
mod singleton;

use api::deployment::Phase;
use proptest::prelude::*;

use cluster::{Behaviour, Cluster, ONLY};

#[test]
fn a_first_deployment_starts_all_and_completes() {
    let mut cluster = Cluster::new(1, 4000);
    cluster.deploy("shop", 1, 3);
    cluster.settle();
    assert_eq!(cluster.phase("shop"), Phase::Complete);
    assert_eq!(cluster.serving("shop"), [(1, 3)]);
}

#[test]
fn an_update_never_has_fewer_in_service_nor_more_than_the_surge() {
    let mut cluster = Cluster::new(1, 4000);
    cluster.deploy("shop", 1, 3);
    cluster.settle();
    cluster.deploy("shop", 2, 3);
    for _ in 0..200 {
        cluster.step(Behaviour::Well);
        assert!(cluster.total("shop") <= 4);
        assert!(cluster.serving("shop").iter().map(|(_, n)| n).sum::<u32>() >= 3);
    }
    assert_eq!(cluster.phase("shop"), Phase::Complete);
    assert_eq!(cluster.serving("shop"), [(2, 3)]);
}

#[test]
fn a_release_that_never_becomes_healthy_is_rolled_back_and_costs_nothing() {
    let mut cluster = Cluster::new(1, 4000);
    cluster.deploy("shop", 1, 3);
    cluster.settle();
    let before = cluster.instances("shop", 1);
    cluster.deploy("shop", 2, 3);
    cluster.broken.insert(2);
    for _ in 0..400 {
        cluster.step(Behaviour::Well);
        assert_eq!(cluster.serving("shop"), [(1, 3)]);
    }
    assert_eq!(cluster.phase("shop"), Phase::RolledBack);
    assert_eq!(cluster.instances("shop", 1), before);
    assert_eq!(cluster.total("shop"), 3);
    let deployment = cluster.deployment("shop");
    assert!(deployment.reason.contains("exit code 7"), "{}", deployment.reason);
    assert!(deployment.failed_instance.is_some());
}

#[test]
fn a_first_release_that_never_becomes_healthy_fails_and_leaves_nothing() {
    let mut cluster = Cluster::new(1, 4000);
    cluster.broken.insert(1);
    cluster.deploy("shop", 1, 2);
    cluster.settle();
    assert_eq!(cluster.phase("shop"), Phase::Failed);
    assert_eq!(cluster.total("shop"), 0);
}

#[test]
fn an_app_that_is_removed_leaves_without_a_trace() {
    let mut cluster = Cluster::new(2, 4000);
    cluster.deploy("shop", 1, 3);
    cluster.settle();
    cluster.remove("shop");
    cluster.settle();
    assert_eq!(cluster.total("shop"), 0);
    assert!(cluster.snapshot.deployments.is_empty());
}

#[test]
fn scaling_down_drains_only_the_surplus() {
    let mut cluster = Cluster::new(2, 4000);
    cluster.deploy("shop", 1, 4);
    cluster.settle();
    cluster.deploy("shop", 2, 2);
    cluster.settle();
    assert_eq!(cluster.serving("shop"), [(2, 2)]);
    assert_eq!(cluster.total("shop"), 2);
}

#[test]
fn where_there_is_no_room_the_plan_says_what_is_short_and_waits() {
    let mut cluster = Cluster::new(1, 250);
    cluster.deploy("shop", 1, 3);
    for _ in 0..400 {
        cluster.step(Behaviour::Well);
    }
    assert_eq!(cluster.phase("shop"), Phase::Rolling, "not the release's fault");
    let report = cluster.last.report.iter().find(|r| r.app.as_str() == "shop").unwrap();
    let text = report.blockers.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("1 of 1 lack cpu (100m asked, 50m free at most)"), "{text}");
    assert_eq!(report.in_service, 2);
}

#[test]
fn a_draining_host_is_emptied_replacements_first() {
    let mut cluster = Cluster::new(3, 4000);
    cluster.deploy("shop", 1, 3);
    cluster.settle();
    cluster.drain("h0");
    for _ in 0..200 {
        cluster.step(Behaviour::Well);
        assert!(cluster.serving("shop").iter().map(|(_, n)| n).sum::<u32>() >= 3);
    }
    assert_eq!(cluster.on_host("h0"), 0);
    assert_eq!(cluster.total("shop"), 3);
}

#[derive(Debug, Clone)]
enum Happening {
    Deploy { app: usize, instances: u32, broken: bool },
    Remove { app: usize },
    Drain { host: usize },
    Undrain { host: usize },
    Lose { host: usize, power: bool, down: bool },
    CutOff { host: usize },
    TakeOver,
    Restore { host: usize },
    Migrate { host: usize, to: usize },
    Time { steps: u8, behaviour: Behaviour },
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let behaviour = prop_oneof![
        3 => Just(Behaviour::Well),
        3 => (1u64..1000).prop_map(Behaviour::Chaos),
    ];
    let one = prop_oneof![
        4 => (0usize..4, 0u32..5, prop::bool::weighted(0.2))
            .prop_map(|(app, instances, broken)| Happening::Deploy { app, instances, broken }),
        1 => (0usize..4).prop_map(|app| Happening::Remove { app }),
        1 => (0usize..4).prop_map(|host| Happening::Drain { host }),
        1 => (0usize..4).prop_map(|host| Happening::Undrain { host }),
        2 => (0usize..4, any::<bool>(), any::<bool>())
            .prop_map(|(host, power, down)| Happening::Lose { host, power, down }),
        1 => (0usize..4).prop_map(|host| Happening::CutOff { host }),
        1 => Just(Happening::TakeOver),
        2 => (0usize..4).prop_map(|host| Happening::Restore { host }),
        1 => (0usize..4, 0usize..3).prop_map(|(host, to)| Happening::Migrate { host, to }),
        6 => (1u8..40, behaviour)
            .prop_map(|(steps, behaviour)| Happening::Time { steps, behaviour }),
    ];
    prop::collection::vec(one, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens: bounds and linter at every step (inside `Cluster::step`), and in the end
    /// every app runs exactly its last good release.
    #[test]
    fn chaos_never_breaks_a_bound_and_calm_reaches_the_goal(
        hosts in 1usize..5,
        happenings in happenings(),
    ) {
        const APPS: [&str; 4] = ["shop", "cart", "mail", ONLY];
        let mut cluster = Cluster::new(hosts, 4000);
        let mut number = 0;
        for happening in happenings {
            match happening {
                Happening::Deploy { app, instances, broken } => {
                    number += 1;
                    if broken {
                        cluster.broken.insert(number);
                    }
                    let most = if APPS[app] == ONLY { 1 } else { instances };
                    cluster.deploy(APPS[app], number, instances.min(most));
                }
                Happening::Remove { app } => cluster.remove(APPS[app]),
                Happening::Drain { host } => cluster.drain(&format!("h{host}")),
                Happening::Undrain { host } => cluster.undrain(&format!("h{host}")),
                Happening::Lose { host, power, down } => {
                    cluster.lose(&format!("h{host}"), power, down);
                }
                Happening::TakeOver => cluster.take_over(),
                Happening::CutOff { host } => cluster.cut_off(&format!("h{host}")),
                Happening::Restore { host } => cluster.restore(&format!("h{host}")),
                Happening::Migrate { host, to } if host < hosts => {
                    cluster.migrate(&format!("h{host}"), &format!("hv{to}"));
                }
                Happening::Migrate { .. } => {}
                Happening::Time { steps, behaviour } => {
                    for _ in 0..steps {
                        cluster.step(behaviour);
                    }
                }
            }
        }
        for host in 0..hosts {
            cluster.undrain(&format!("h{host}"));
            cluster.restore(&format!("h{host}"));
        }
        cluster.settle();
        for ((_, app), deployment) in cluster.snapshot.deployments.clone() {
            prop_assert!(deployment.phase.is_final(), "{:?}", deployment);
            let wanted = deployment.wanted_release().map(|release| release.0);
            let instances = wanted.map_or(0, |release| cluster.desired(app.as_str(), release));
            prop_assert_eq!(cluster.total(app.as_str()), instances);
            let expected: Vec<_> =
                wanted.filter(|_| instances > 0).map(|w| (w, instances)).into_iter().collect();
            prop_assert_eq!(cluster.serving(app.as_str()), expected);
        }
    }
}
