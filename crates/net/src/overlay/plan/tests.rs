//! Ways for hosts near and far, and that differences lead where they should.

use proptest::prelude::*;

use super::*;

fn overlay(mode: Mode) -> Overlay {
    Overlay {
        slug: Slug::new("t1").unwrap(),
        address: Ipv4Addr::new(192, 0, 2, 1),
        mode,
        port: TUNNEL_PORT,
        cluster: "10.128.0.0/10".parse().unwrap(),
        subnet: "10.128.1.0/24".parse().unwrap(),
    }
}

fn underlay() -> Underlay {
    Underlay { link: 2, net: "192.0.2.1/24".parse().unwrap(), mtu: 1500 }
}

fn peer(subnet: &str, address: &str) -> Peer {
    Peer { subnet: subnet.parse().unwrap(), address: address.parse().unwrap() }
}

fn ways(mode: Mode) -> (Vec<Option<u32>>, usize, usize) {
    let peers = [
        peer("10.128.1.0/24", "192.0.2.1"),
        peer("10.128.2.0/24", "192.0.2.2"),
        peer("10.128.3.0/24", "198.51.100.3"),
        peer("172.16.0.0/24", "192.0.2.9"),
    ];
    let wanted = wanted(&overlay(mode), &underlay(), 7, peers);
    assert_eq!(wanted.neighbours.len(), wanted.forwarding.len());
    let links = wanted.routes.iter().map(|route| route.link).collect();
    (links, wanted.neighbours.len(), wanted.unreached.len())
}

#[test]
fn near_hosts_are_routed_and_far_ones_tunnelled() {
    assert_eq!(ways(Mode::Auto), (vec![Some(2), Some(7)], 1, 0));
    assert_eq!(ways(Mode::Vxlan), (vec![Some(7), Some(7)], 2, 0));
    assert_eq!(ways(Mode::Direct), (vec![Some(2)], 0, 1));
    assert_eq!(instance_mtu(Mode::Direct, 1500), 1500);
    assert_eq!(instance_mtu(Mode::Auto, 1500), 1450);
}

#[test]
fn clusters_that_share_hosts_have_tunnels_of_their_own() {
    let mut other = overlay(Mode::Vxlan);
    assert_eq!(other.identifier(), 0x0a_80_00);
    other.cluster = "10.64.0.0/10".parse().unwrap();
    assert_ne!(other.identifier(), overlay(Mode::Vxlan).identifier());
}

#[test]
fn modes_are_read_as_they_are_written() {
    for mode in [Mode::Auto, Mode::Vxlan, Mode::Direct] {
        assert_eq!(mode.to_string().parse::<Mode>(), Ok(mode));
    }
    assert!("other".parse::<Mode>().is_err());
}

proptest! {
    #[test]
    fn a_difference_leads_there(
        have in proptest::collection::btree_map(0_u8..20, 0_u8..3, 0..20),
        want in proptest::collection::btree_map(0_u8..20, 0_u8..3, 0..20),
    ) {
        let (before, after): (Vec<_>, Vec<_>) =
            (have.clone().into_iter().collect(), want.clone().into_iter().collect());
        let (gone, missing) = difference(&before, &after, |(key, _)| *key);
        let mut there = have;
        for (key, _) in gone {
            there.remove(&key);
        }
        for (key, value) in &missing {
            prop_assert_ne!(there.get(key), Some(value), "set again what is there");
            there.insert(*key, *value);
        }
        prop_assert_eq!(there, want);
    }
}
