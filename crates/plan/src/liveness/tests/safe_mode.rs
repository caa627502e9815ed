//! What is lost at once.

use api::unit::Millis;
use proptest::prelude::*;

use super::*;
use crate::liveness::{Budget, safe_mode};
use crate::restart::Moment;

/// Hosts in racks of three, those of `down` lost at the given times.
fn cluster(racks: usize, down: &[(usize, i64)]) -> BTreeMap<HostId, Host> {
    let mut hosts: BTreeMap<HostId, Host> =
        (0..racks * 3).map(|n| host(n, &format!("z/r{}/v{n}", n / 3))).collect();
    for (n, at) in down {
        hosts.get_mut(&id(*n)).unwrap().down_since = Some(Timestamp(*at));
    }
    hosts
}

#[test]
fn a_single_domain_never_enters_it_however_large_its_part() {
    assert_eq!(safe_mode(&cluster(2, &[(0, 0), (1, 0), (2, 0)]), None), None);
    let whole = cluster(2, &[(0, 0), (1, 0), (2, 0), (3, 100)]);
    let mode = safe_mode(&whole, None).unwrap();
    assert_eq!((mode.lost.len(), mode.domains.len()), (4, 1));
}

#[test]
fn losses_far_apart_or_without_a_whole_domain_do_not_enter_it() {
    assert_eq!(safe_mode(&cluster(2, &[(0, 0), (1, 0), (2, 0), (3, 31_000)]), None), None);
    assert_eq!(safe_mode(&cluster(2, &[(0, 0), (1, 0), (3, 0), (4, 0)]), None), None);
    // Five racks: five of fifteen are a third, not more.
    let third = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)];
    assert_eq!(safe_mode(&cluster(5, &third), None), None);
}

#[test]
fn it_ends_when_hosts_return_or_an_operator_accepts() {
    let down = [(0, 0), (1, 0), (2, 0), (3, 0)];
    assert!(safe_mode(&cluster(2, &down), None).is_some());
    assert!(safe_mode(&cluster(2, &down[1..]), None).is_none());
    assert!(safe_mode(&cluster(2, &down), Some(Timestamp(0))).is_none());
    assert!(safe_mode(&cluster(2, &down), Some(Timestamp(-1))).is_some());
}

#[test]
fn hosts_without_domains_are_domains_of_their_own() {
    let mut hosts: BTreeMap<HostId, Host> = (0..3).map(|n| host(n, "")).collect();
    for n in 0..2 {
        assert!(safe_mode(&hosts, None).is_none());
        hosts.get_mut(&id(n)).unwrap().down_since = Some(Timestamp(5));
    }
    assert!(safe_mode(&hosts, None).is_some());
}

proptest! {
    /// Against the definition, tried on every window that begins with a loss.
    #[test]
    fn agrees_with_its_definition(
        racks in 1usize..5,
        losses in prop::collection::btree_map(0usize..12, 0i64..60_000, 0..10),
    ) {
        let losses: Vec<_> = losses.into_iter().filter(|(n, _)| *n < racks * 3).collect();
        let hosts = cluster(racks, &losses);
        let size = if racks == 1 { 1 } else { 3 };
        let expected = losses.iter().any(|(_, begin)| {
            let within: Vec<usize> = losses.iter()
                .filter(|(_, at)| at >= begin && at - begin <= 30_000).map(|(n, _)| *n).collect();
            let rack_of = |n: usize| n / size;
            let gone = |n: usize| losses.iter().any(|(lost, _)| *lost == n);
            let whole: Vec<usize> = (0..racks * 3 / size).filter(|rack| {
                let members = || (0..racks * 3).filter(|n| rack_of(*n) == *rack);
                members().all(gone) && members().any(|n| within.contains(&n))
            }).collect();
            let beside = within.iter().any(|n| !whole.contains(&rack_of(*n)));
            within.len() * 3 > racks * 3 && (whole.len() > 1 || (whole.len() == 1 && beside))
        });
        prop_assert_eq!(safe_mode(&hosts, None).is_some(), expected);
    }

    /// In no ten seconds is more spent than the larger of ten and a twentieth.
    #[test]
    fn no_ten_seconds_spend_more_than_the_budget(
        instances in 0u32..2000,
        steps in prop::collection::vec((0u64..6000, 0u32..200), 1..60),
    ) {
        let mut budget = Budget::default();
        let (mut at, mut spent) = (0, Vec::<(u64, u32)>::new());
        for (step, wish) in steps {
            at += step;
            let n = wish.min(budget.left(instances, Moment(at)));
            budget.spend(n, Moment(at));
            spent.push((at, n));
            let recent = spent.iter().filter(|(then, _)| at - then < 10_000).map(|(_, n)| n);
            prop_assert!(recent.sum::<u32>() <= (instances / 20).max(10));
            if budget.left(instances, Moment(at)) == 0 {
                prop_assert!(budget.more_at().unwrap() > Moment(at));
            }
        }
    }
}

#[test]
fn a_budget_comes_back_after_ten_seconds() {
    let mut budget = Budget::default();
    assert_eq!(budget.left(1000, Moment(0)), 50);
    budget.spend(50, Moment(0));
    assert_eq!(budget.more_at(), Some(Moment(0).after(Millis(10_000))));
    assert_eq!(budget.left(1000, Moment(9_999)), 0);
    assert_eq!(budget.left(1000, Moment(10_000)), 50);
}
