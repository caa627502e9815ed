//! Real packets through a real bridge and filter: who reaches whom, and who does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use crate::world::{
    OUTSIDE, UPLINK, World, ask, ask_here, ask_udp, base, install, is_root, no_answer, serve,
    serve_udp, sh,
};
use net::namespace::Namespace;
use net::nft::{
    Base, Groups, Instance, Protocol, Ruleset, ServiceAddress, apply, diff, render_full,
};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 61, 0, 9);
const WEB: u16 = 80;
const BACKEND: u16 = 8080;

fn at(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 60, 0, number)
}

fn backend(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(at(number), BACKEND)
}

fn service(protocol: Protocol) -> ServiceAddress {
    ServiceAddress { address: SERVICE, protocol, port: WEB }
}

/// Instances 2 to 4 in one environment, 5 in another; 5 may not leave the cluster.
fn rules() -> Ruleset {
    let mut groups = Groups::default();
    let staging = groups.of("staging").unwrap();
    let production = groups.of("production").unwrap();
    let mut rules = Ruleset::new(base("aa", 60));
    rules.allowed = BTreeSet::from([(staging, staging), (production, production)]);
    rules.instances = BTreeMap::from([
        (at(2), Instance { group: staging, egress: true }),
        (at(3), Instance { group: staging, egress: true }),
        (at(4), Instance { group: staging, egress: true }),
        (at(5), Instance { group: production, egress: false }),
    ]);
    rules.services = BTreeMap::from([
        (service(Protocol::Tcp), BTreeSet::from([backend(2), backend(3), backend(4)])),
        (service(Protocol::Udp), BTreeSet::from([backend(3)])),
    ]);
    rules
}

struct Cast {
    world: World,
    rules: Ruleset,
    instances: BTreeMap<u8, Namespace>,
}

impl Cast {
    fn new() -> Self {
        let world = World::new();
        let rules = rules();
        install(&world, &rules);
        let mut instances = BTreeMap::new();
        for (number, name) in [(2, "two"), (3, "three"), (4, "four"), (5, "five")] {
            let inside = world.attach(&rules.base, number);
            serve(&inside, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, BACKEND), name);
            instances.insert(number, inside);
        }
        serve_udp(&instances[&3], backend(3), "three");
        Self { world, rules, instances }
    }

    fn on_host<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        self.world.host.run(task).unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Ruleset)) {
        let mut next = self.rules.clone();
        change(&mut next);
        let script = diff(&self.rules, &next).expect("something changes");
        self.on_host(|| apply(&script).unwrap());
        self.rules = next;
    }

    fn base(&self) -> &Base {
        &self.rules.base
    }
}

fn is_refused(result: std::io::Result<String>) {
    let error = result.expect_err("must not get through");
    let kinds = [ErrorKind::HostUnreachable, ErrorKind::ConnectionRefused];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[test]
fn instances_reach_their_environment_and_no_other() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    let (two, five) = (&cast.instances[&2], &cast.instances[&5]);
    assert_eq!(ask(two, at(3), BACKEND).unwrap(), format!("three {}", at(2)));
    is_refused(ask(two, at(5), BACKEND));
    is_refused(ask(five, at(2), BACKEND));
    is_refused(ask(five, SERVICE, WEB));
    assert!(no_answer(two, at(77), BACKEND), "an address nobody has");
    // Later an operator allows one direction: the other stays shut.
    let from = cast.rules.instances[&at(5)].group;
    let to = cast.rules.instances[&at(2)].group;
    cast.change(|rules| {
        rules.allowed.insert((from, to));
    });
    let (two, five) = (&cast.instances[&2], &cast.instances[&5]);
    assert_eq!(ask(five, at(2), BACKEND).unwrap(), format!("two {}", at(5)));
    is_refused(ask(two, at(5), BACKEND));
}

#[test]
fn a_service_address_spreads_over_its_endpoints_until_they_leave() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    let count = |cast: &Cast, from: u8| {
        let inside = &cast.instances[&from];
        let answers =
            inside.run(|| (0..300).map(|_| ask_here(SERVICE, WEB).unwrap()).collect::<Vec<_>>());
        let mut counts = BTreeMap::<String, usize>::new();
        for answer in answers.unwrap() {
            let name = answer.split(' ').next().unwrap().to_owned();
            *counts.entry(name).or_default() += 1;
        }
        counts
    };
    let counts = count(&cast, 2);
    // 300 draws over three: a share below 60 would be off by five standard deviations.
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|count| *count >= 60), "{counts:?}");
    cast.change(|rules| {
        let endpoints = rules.services.get_mut(&service(Protocol::Tcp)).unwrap();
        endpoints.remove(&backend(3));
    });
    let counts = count(&cast, 3);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["four", "two"]);
    cast.change(|rules| rules.services.get_mut(&service(Protocol::Tcp)).unwrap().clear());
    let error = ask(&cast.instances[&2], SERVICE, WEB).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask_udp(&cast.instances[&2], SERVICE, WEB).unwrap(), "three");
}

#[test]
fn an_instance_reaches_itself_through_its_service() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    cast.change(|rules| {
        rules.services.insert(service(Protocol::Tcp), BTreeSet::from([backend(2)]));
    });
    let gateway = cast.base().gateway();
    // From another the sender is seen; only from itself the gateway stands in.
    assert_eq!(ask(&cast.instances[&3], SERVICE, WEB).unwrap(), format!("two {}", at(3)));
    assert_eq!(ask(&cast.instances[&2], SERVICE, WEB).unwrap(), format!("two {gateway}"));
}

#[test]
fn of_the_host_only_dns_and_listed_ports_are_reachable() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    let outside = cast.world.outside();
    let gateway = cast.base().gateway();
    let any = Ipv4Addr::UNSPECIFIED;
    for port in [53, 2222, 9100] {
        serve(&cast.world.host, SocketAddrV4::new(any, port), "host");
    }
    serve_udp(&cast.world.host, SocketAddrV4::new(gateway, 53), "dns");
    let two = &cast.instances[&2];
    assert_eq!(ask(two, gateway, 53).unwrap(), format!("host {}", at(2)));
    assert_eq!(ask_udp(two, gateway, 53).unwrap(), "dns");
    for (address, port) in [(gateway, 2222), (gateway, 9100), (UPLINK, 53), (UPLINK, 2222)] {
        is_refused(ask(two, address, port));
    }
    // The instance's own loopback is its own.
    is_refused(ask(two, Ipv4Addr::LOCALHOST, 2222));
    // Nobody else may use the gateway's address, though the host itself may.
    outside.run(|| sh(&format!("ip route add {gateway}/32 via {UPLINK}"))).unwrap();
    assert!(no_answer(&outside, gateway, 53));
    assert_eq!(ask(&cast.world.host, gateway, 53).unwrap(), format!("host {gateway}"));
    cast.change(|rules| {
        rules.host_ports.insert((Protocol::Tcp, 9100));
    });
    assert_eq!(ask(&cast.instances[&2], gateway, 9100).unwrap(), format!("host {}", at(2)));
    is_refused(ask(&cast.instances[&2], gateway, 2222));
}

#[test]
fn the_outside_is_reached_masqueraded_where_allowed_and_does_not_reach_in() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    let outside = cast.world.outside();
    serve(&outside, SocketAddrV4::new(OUTSIDE, 80), "outside");
    assert_eq!(ask(&cast.instances[&2], OUTSIDE, 80).unwrap(), format!("outside {UPLINK}"));
    is_refused(ask(&cast.instances[&5], OUTSIDE, 80));
    cast.change(|rules| {
        rules.instances.get_mut(&at(2)).unwrap().egress = false;
        rules.instances.get_mut(&at(5)).unwrap().egress = true;
    });
    is_refused(ask(&cast.instances[&2], OUTSIDE, 80));
    assert_eq!(ask(&cast.instances[&5], OUTSIDE, 80).unwrap(), format!("outside {UPLINK}"));
    outside.run(|| sh(&format!("ip route add 10.60.0.0/15 via {UPLINK}"))).unwrap();
    assert!(no_answer(&outside, at(2), BACKEND));
    assert!(no_answer(&outside, SERVICE, WEB));
    assert_eq!(ask(&cast.world.host, at(2), BACKEND).unwrap(), "two 10.60.0.1");
}

#[test]
fn a_false_sender_is_silent_whatever_it_claims() {
    if !is_root() {
        return;
    }
    let cast = Cast::new();
    let from = |number: u8, claimed: Ipv4Addr, to: Ipv4Addr| {
        cast.instances[&number]
            .run(|| {
                let socket = rustix::net::socket(
                    rustix::net::AddressFamily::INET,
                    rustix::net::SocketType::DGRAM,
                    None,
                )
                .unwrap();
                sh(&format!("ip addr add {claimed}/32 dev lo 2>/dev/null || true"));
                rustix::net::bind(&socket, &SocketAddrV4::new(claimed, 0)).unwrap();
                let to = SocketAddrV4::new(to, BACKEND);
                rustix::net::sendto(&socket, b"?", rustix::net::SendFlags::empty(), &to).unwrap();
            })
            .unwrap();
    };
    let received = |number: u8| {
        let datagrams = "grep '^Udp:' /proc/net/snmp | tail -1 | cut -d' ' -f2";
        cast.instances[&number].run(|| sh(datagrams)).unwrap().trim().parse::<u64>().unwrap()
    };
    assert_eq!(ask(&cast.instances[&2], at(3), BACKEND).unwrap(), format!("three {}", at(2)));
    let before = received(3);
    // Another instance's address, one of nobody in the subnet, a stranger's, the gateway's.
    for claimed in [at(4), at(99), Ipv4Addr::new(198, 51, 100, 7), cast.base().gateway()] {
        from(2, claimed, at(3));
    }
    // In 5's clothes, 2 would be let in; and 5 as 2 would reach 3.
    from(5, at(2), at(3));
    assert_eq!(received(3), before, "a false sender got through");
    from(2, at(2), at(3));
    // The kernel may deliver a little later than it says so: round trips let it catch up.
    let round_trip = || ask(&cast.instances[&4], at(3), BACKEND).unwrap();
    let arrived = (0..100).any(|_| (round_trip(), received(3)).1 == before + 1);
    assert!(arrived, "the true one does");
}

#[test]
fn two_installations_do_not_see_each_other() {
    if !is_root() {
        return;
    }
    let cast = Cast::new();
    let mut other = Ruleset::new(base("bb", 70));
    let group = Groups::default().of("production").unwrap();
    let theirs = Ipv4Addr::new(10, 70, 0, 2);
    other.allowed = BTreeSet::from([(group, group)]);
    other.instances = BTreeMap::from([(theirs, Instance { group, egress: true })]);
    install(&cast.world, &other);
    let inside = cast.world.attach(&other.base, 2);
    serve(&inside, SocketAddrV4::new(theirs, BACKEND), "theirs");
    is_refused(ask(&cast.instances[&2], theirs, BACKEND));
    is_refused(ask(&inside, at(2), BACKEND));
    is_refused(ask(&inside, SERVICE, WEB));
    is_refused(ask(&inside, cast.base().gateway(), 53));
    assert_eq!(ask(&cast.instances[&2], at(3), BACKEND).unwrap(), format!("three {}", at(2)));
    // Loading ours again leaves theirs as it is.
    cast.on_host(|| {
        let before = sh("nft list table inet freehold_bb");
        apply(&render_full(&cast.rules)).unwrap();
        apply(&net::nft::render_removal(&cast.base().slug)).unwrap();
        assert_eq!(sh("nft list table inet freehold_bb"), before);
        assert!(!sh("nft list tables").contains("freehold_aa"));
    });
}

#[test]
fn an_established_connection_survives_every_change() {
    if !is_root() {
        return;
    }
    let mut cast = Cast::new();
    let echo = cast.instances[&2].run(|| std::net::TcpListener::bind((at(2), 7))).unwrap().unwrap();
    cast.change(|rules| {
        let to = BTreeSet::from([SocketAddrV4::new(at(2), 7)]);
        rules.services.insert(service(Protocol::Tcp), to);
    });
    let mut stream =
        cast.instances[&3].run(|| TcpStream::connect((SERVICE, WEB))).unwrap().unwrap();
    let (mut served, _) = echo.accept().unwrap();
    cast.change(|rules| {
        rules.services.insert(service(Protocol::Tcp), BTreeSet::from([backend(4)]));
    });
    cast.on_host(|| apply(&render_full(&cast.rules)).unwrap());
    std::io::Write::write_all(&mut stream, b"still").unwrap();
    let mut buffer = [0; 5];
    std::io::Read::read_exact(&mut served, &mut buffer).unwrap();
    assert_eq!(&buffer, b"still");
    assert_eq!(ask(&cast.instances[&3], SERVICE, WEB).unwrap(), format!("four {}", at(3)));
}
