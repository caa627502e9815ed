//! Who probes whom.

use std::collections::BTreeSet;

use api::liveness::ObserveTarget;
use proptest::prelude::*;

use super::*;
use crate::liveness::{OBSERVERS, Observer, lists};

fn observers_of(lists: &BTreeMap<Observer, Observe>, target: &HostId) -> BTreeSet<Observer> {
    let probes = |list: &Observe| list.targets.iter().any(|t: &ObserveTarget| t.host == *target);
    lists.iter().filter(|(_, list)| probes(list)).map(|(o, _)| o.clone()).collect()
}

#[test]
fn in_a_small_cluster_all_others_and_the_servers_probe() {
    let hosts = (0..3).map(|n| host(n, "")).collect();
    let lists = lists(&hosts, &servers(1), 7444, OBSERVERS, &form());
    let s0 = Observer::Server(ServerId::new("s0").unwrap());
    let expected = [Observer::Host(id(1)), Observer::Host(id(2)), s0.clone()];
    assert_eq!(observers_of(&lists, &id(0)), BTreeSet::from(expected));
    let server = &lists[&s0];
    assert_eq!(server.targets.len(), 3);
    assert_eq!(server.targets[1].address, "10.0.0.1:7444".parse().unwrap());
    assert_eq!(server.generation, Generation(7));
}

#[test]
fn a_server_does_not_probe_the_host_on_its_own_machine() {
    let hosts = (0..3).map(|n| host(n, "")).collect();
    let (told, mut elsewhere) = server("told", "api.example.com:7443");
    elsewhere.host = Some(id(1));
    let servers =
        [server("same", "10.0.0.0:7443"), (told, elsewhere), server("six", "[fd00::1]:7443")];
    let lists = lists(&hosts, &BTreeMap::from(servers), 7444, OBSERVERS, &form());
    let targets = |name: &str| {
        let list = &lists[&Observer::Server(ServerId::new(name).unwrap())];
        list.targets.iter().map(|target| target.host.clone()).collect::<Vec<_>>()
    };
    assert_eq!(targets("same"), [id(1), id(2)]);
    assert_eq!(targets("told"), [id(0), id(2)]);
    assert_eq!(targets("six"), [id(0), id(1), id(2)]);
}

#[test]
fn a_lone_host_gets_an_empty_list() {
    let hosts = [host(0, "")].into();
    let lists = lists(&hosts, &BTreeMap::new(), 7444, OBSERVERS, &form());
    assert_eq!(lists[&Observer::Host(id(0))].targets, []);
}

proptest! {
    /// In any cluster: six observers or all others, never one's own, none from the same outermost
    /// domain while others have enough, and one host more changes few lists.
    #[test]
    fn fixed_few_and_from_elsewhere(racks in 2usize..5, count in 2usize..60) {
        let rack = |n: usize| n * 7 % racks;
        let hosts: BTreeMap<HostId, Host> =
            (0..count).map(|n| host(n, &format!("r{}/v{}", rack(n), n / 3))).collect();
        let servers = servers(1);
        let before = lists(&hosts, &servers, 7444, OBSERVERS, &form());
        let mut more = hosts.clone();
        more.extend([host(500, "r0/v900")]);
        let after = lists(&more, &servers, 7444, OBSERVERS, &form());
        prop_assert_eq!(before.keys().filter(|o| matches!(o, Observer::Host(_))).count(), count);
        for n in 0..count {
            let observers = observers_of(&before, &id(n));
            let small = count - 1 <= OBSERVERS;
            let expected = if small { count } else { OBSERVERS };
            prop_assert_eq!(observers.len(), expected);
            prop_assert!(!observers.contains(&Observer::Host(id(n))));
            let elsewhere = (0..count).filter(|o| rack(*o) != rack(n)).count();
            if elsewhere >= OBSERVERS {
                for observer in &observers {
                    let Observer::Host(name) = observer else { continue };
                    prop_assert_ne!(hosts[name].domain.levels()[0].clone(),
                        hosts[&id(n)].domain.levels()[0].clone());
                }
            }
            if !small {
                let now = observers_of(&after, &id(n));
                prop_assert!(observers.difference(&now).count() <= 1, "one place for one newcomer");
            }
        }
        for list in before.values() {
            prop_assert!(list.targets.is_sorted_by(|a, b| a.host < b.host));
        }
    }
}

#[test]
fn nobody_probes_half_the_cluster() {
    let hosts: BTreeMap<HostId, Host> =
        (0..600).map(|n| host(n, &format!("r{}", n % 10))).collect();
    let lists = lists(&hosts, &BTreeMap::new(), 7444, OBSERVERS, &form());
    let most = lists.values().map(|list| list.targets.len()).max();
    assert!(most <= Some(24), "{most:?} targets, 6 in the mean");
}
