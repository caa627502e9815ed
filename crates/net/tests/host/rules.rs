//! The kernel's state after a chain of differences is that of a full load, for any rule sets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::world::{World, base, is_root, sh};
use net::nft::{
    Base, Changer, Group, Instance, Protocol, Ruleset, ServiceAddress, apply, diff, render_full,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Small ranges, so that two rule sets share much and differ in the rest.
fn rules(base: Base) -> impl Strategy<Value = Ruleset> {
    let protocol = || prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let service = (0_u8..4, protocol(), 80_u16..82).prop_map(|(last, protocol, port)| {
        ServiceAddress { address: Ipv4Addr::new(10, 61, 0, last), protocol, port }
    });
    let endpoint = (2_u8..8, 8080_u16..8082)
        .prop_map(|(last, port)| SocketAddrV4::new(Ipv4Addr::new(10, 60, 0, last), port));
    let group = || (1_u32..4).prop_map(|number| Group::new(number).unwrap());
    let instance = (2_u8..8, group(), any::<bool>()).prop_map(|(last, group, egress)| {
        (Ipv4Addr::new(10, 60, 0, last), Instance { group, egress })
    });
    (
        prop::collection::btree_map(service, prop::collection::btree_set(endpoint, 0..5), 0..5),
        prop::collection::vec(instance, 0..6),
        prop::collection::btree_set((group(), group()), 0..5),
        prop::collection::btree_set((protocol(), 50_u16..56), 0..4),
    )
        .prop_map(move |(services, instances, allowed, host_ports)| Ruleset {
            services,
            instances: instances.into_iter().collect(),
            allowed,
            host_ports,
            ..Ruleset::new(base.clone())
        })
}

/// The table as the kernel has it, without what only tells when something was made: chains and
/// elements are in no order.
fn state(table: &str) -> Vec<String> {
    let text = sh(&format!("nft -j list table inet {table}"));
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut objects: Vec<String> = Vec::new();
    for object in value["nftables"].as_array_mut().unwrap() {
        for (_, body) in object.as_object_mut().unwrap() {
            if let Some(body) = body.as_object_mut() {
                body.remove("handle");
                if let Some(elements) = body.get_mut("elem").and_then(|e| e.as_array_mut()) {
                    elements.sort_by_key(ToString::to_string);
                }
            }
        }
        objects.push(object.to_string());
    }
    // Rules keep their order within a chain; a stable sort by chain keeps it too.
    objects.sort_by_key(|object| {
        let rule = object.starts_with("{\"rule\"");
        let value: serde_json::Value = serde_json::from_str(object).unwrap();
        if rule { value["rule"]["chain"].to_string() } else { format!("~{object}") }
    });
    objects
}

#[test]
fn differences_lead_where_a_full_load_leads() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let strategy = prop::collection::vec(rules(base("aa", 60)), 2..4);
    let mut runner =
        TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let result = world.host.run(|| {
        runner.run(&strategy, |steps| {
            apply(&render_full(&steps[0])).unwrap();
            for pair in steps.windows(2) {
                let script = diff(&pair[0], &pair[1]);
                prop_assert_eq!(script.is_none(), render_full(&pair[0]) == render_full(&pair[1]));
                if let Some(script) = script {
                    apply(&script).unwrap();
                }
            }
            let stepped = state("freehold_aa");
            apply(&render_full(steps.last().unwrap())).unwrap();
            prop_assert_eq!(stepped, state("freehold_aa"));
            Ok(())
        })
    });
    result.unwrap().unwrap();
}

/// The same by elements that go straight into the kernel, with what other hosts add.
#[test]
fn elements_in_the_kernel_are_those_that_nft_would_load() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let elsewhere = prop::collection::btree_map(2_u8..9, 1_u32..4, 0..5);
    let steps = (rules(base("aa", 60)), elsewhere).prop_map(|(mut rules, elsewhere)| {
        // Half of the cluster's range is other hosts'.
        rules.base.subnet = "10.60.0.0/29".parse().unwrap();
        let known = |(last, group)| (Ipv4Addr::new(10, 60, 0, last), Group::new(group).unwrap());
        rules.elsewhere = elsewhere.into_iter().map(known).collect();
        rules
    });
    let strategy = prop::collection::vec(steps, 2..6);
    let mut runner =
        TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let result = world.host.run(|| {
        runner.run(&strategy, |steps| {
            let mut changer = Changer::open().unwrap();
            apply(&render_full(&steps[0])).unwrap();
            for pair in steps.windows(2) {
                changer.bring(&pair[0], &pair[1]).unwrap();
            }
            let stepped = state("freehold_aa");
            apply(&render_full(steps.last().unwrap())).unwrap();
            prop_assert_eq!(stepped, state("freehold_aa"));
            Ok(())
        })
    });
    result.unwrap().unwrap();
}

/// A service with more endpoints than chains stand ready for, and all its endpoints at once.
#[test]
fn large_services_and_large_changes_arrive() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let empty = Ruleset::new(base("aa", 60));
    let mut large = empty.clone();
    for number in 1..=100_u8 {
        let address = Ipv4Addr::new(10, 61, 0, number);
        let service = ServiceAddress { address, protocol: Protocol::Udp, port: 80 };
        let endpoint = |last| SocketAddrV4::new(Ipv4Addr::new(10, 60, 0, last), 8080);
        let count = if number == 100 { 200 } else { 50 };
        large.services.insert(service, (2..2 + count).map(endpoint).collect());
    }
    let mut many = large.clone();
    many.services.pop_last();
    world
        .host
        .run(|| {
            let mut changer = Changer::open().unwrap();
            for chain in [[&empty, &large, &many, &empty], [&empty, &many, &large, &empty]] {
                apply(&render_full(chain[0])).unwrap();
                for pair in chain.windows(2) {
                    changer.bring(pair[0], pair[1]).unwrap();
                    let stepped = state("freehold_aa");
                    apply(&render_full(pair[1])).unwrap();
                    assert_eq!(stepped, state("freehold_aa"));
                }
            }
        })
        .unwrap();
}

#[test]
fn a_refused_transaction_changes_nothing_and_names_the_set() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let old = Ruleset::new(base("aa", 60));
    let group = Group::new(1).unwrap();
    let mut new = old.clone();
    new.instances.insert(Ipv4Addr::new(10, 60, 0, 9), Instance { group, egress: false });
    world
        .host
        .run(|| {
            let mut changer = Changer::open().unwrap();
            apply(&render_full(&old)).unwrap();
            // Somebody else has been at it: one of the elements is there already.
            sh("nft add element inet freehold_aa confined { 10.60.0.9 }");
            let before = state("freehold_aa");
            let error = changer.bring(&old, &new).unwrap_err();
            let text = std::error::Error::source(&error).unwrap().to_string();
            assert!(text.contains("elements of confined"), "{text}");
            assert_eq!(state("freehold_aa"), before);
            sh("nft delete table inet freehold_aa");
            assert!(changer.bring(&old, &new).is_err());
            assert!(!sh("nft list tables").contains("freehold_aa"));
        })
        .unwrap();
}

#[test]
fn a_changed_base_is_a_full_load_and_a_new_slug_removes_the_old_table() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let old = Ruleset::new(base("aa", 60));
    let moved = Ruleset::new(base("aa", 62));
    let renamed = Ruleset::new(base("bb", 62));
    world
        .host
        .run(|| {
            sh("nft add table inet other; nft add chain inet other stays");
            apply(&render_full(&old)).unwrap();
            apply(&diff(&old, &moved).unwrap()).unwrap();
            assert!(sh("nft list table inet freehold_aa").contains("10.62.0.0/24"));
            apply(&diff(&moved, &renamed).unwrap()).unwrap();
            let tables = sh("nft list tables");
            assert!(tables.contains("freehold_bb") && !tables.contains("freehold_aa"));
            assert!(sh("nft list table inet other").contains("stays"));
        })
        .unwrap();
    assert_eq!(diff(&old, &old.clone()), None);
}

#[test]
fn a_refused_script_changes_nothing_and_says_why() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    world
        .host
        .run(|| {
            apply(&render_full(&rules)).unwrap();
            let before = state("freehold_aa");
            let script = "add element inet freehold_aa confined { 10.60.0.9 }\n\
                          add element inet freehold_aa nowhere { 1.2.3.4 }\n";
            let error = apply(script).unwrap_err().to_string();
            assert!(error.contains("nowhere") || error.contains("No such file"), "{error}");
            assert_eq!(state("freehold_aa"), before);
        })
        .unwrap();
}

/// Ten thousand services load, and one change stays the size of the change.
#[test]
fn a_change_among_ten_thousand_services_is_a_few_elements() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let mut rules = Ruleset::new(base("aa", 60));
    for number in 0..10_000_u32 {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 61, 0, 0)) + number);
        let service = ServiceAddress { address, protocol: Protocol::Tcp, port: 80 };
        let endpoints = (2..5)
            .map(|last| SocketAddrV4::new(Ipv4Addr::new(10, 60, 0, last), 8080))
            .collect::<BTreeSet<_>>();
        rules.services.insert(service, endpoints);
    }
    let mut next = rules.clone();
    let changed = next.services.values_mut().nth(5000).unwrap();
    changed.pop_last();
    changed.insert(SocketAddrV4::new(Ipv4Addr::new(10, 60, 0, 9), 8080));
    let script = diff(&rules, &next).unwrap();
    assert_eq!(script.lines().count(), 2, "{script}");
    world
        .host
        .run(|| {
            apply(&render_full(&rules)).unwrap();
            apply(&script).unwrap();
            let map = sh("nft list map inet freehold_aa endpoints");
            assert_eq!(map.matches("10.60.0.9 . 8080").count(), 1);
            assert_eq!(map.matches(" : 10.60.0.").count(), 30_000);
        })
        .unwrap();
}
