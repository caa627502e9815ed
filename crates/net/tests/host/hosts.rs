//! Several hosts on one network: instances of one reach those of others, by tunnel and directly,
//! and nobody else gets in by these ways.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use ipnet::Ipv4Net;
use net::address::gateway;
use net::conntrack;
use net::link::{Bridge, InstanceLink, attach, ensure_bridge};
use net::namespace::{self, Namespace};
use net::nft::{
    Base, Group, Instance, Protocol, Ruleset, ServiceAddress, Tunnel, apply, diff, render_full,
};
use net::overlay::{self, Changed, Mode, Overlay, Peer, TUNNEL_PORT};
use net::{Slug, link};

use crate::world::{ask, ask_udp, is_root, no_answer, serve, serve_udp, sh};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 71, 0, 9);
const OTHERS: Ipv4Addr = Ipv4Addr::new(10, 71, 0, 10);
const WEB: u16 = 80;
const BACKEND: u16 = 8080;
const BULK: u16 = 9090;
/// Round trips after which what was not delivered was dropped.
const CATCH_UP: u32 = 20;
const UNDERLAY_MTU: u32 = 1500;

/// The address of an instance, 10.70.HOST.NUMBER.
fn at(host: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 70, host, number)
}

fn subnet(host: u8) -> Ipv4Net {
    Ipv4Net::new(at(host, 0), 24).unwrap()
}

fn underlay(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, host)
}

fn group(number: u32) -> Group {
    Group::new(number).unwrap()
}

/// A switch and the hosts on it; dropping it removes every namespace, and with them all links.
struct Segment {
    directory: tempfile::TempDir,
    mode: Mode,
    switch: Namespace,
    hosts: BTreeMap<u8, Host>,
}

struct Host {
    number: u8,
    inside: Namespace,
    rules: Ruleset,
    overlay: Overlay,
    instances: BTreeMap<u8, Namespace>,
}

impl Segment {
    fn new(mode: Mode) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("instances")).unwrap();
        let switch = Namespace::create(&directory.path().join("switch"), &[]).unwrap();
        switch.run(|| sh("ip link add sw type bridge; ip link set sw up")).unwrap();
        Self { directory, mode, switch, hosts: BTreeMap::new() }
    }

    /// A machine on the segment without any rules.
    fn machine(&self, number: u8) -> Namespace {
        let path = self.directory.path().join(format!("machine{number}"));
        let inside = Namespace::create(&path, &[]).unwrap();
        let (path, address) = (path.display(), underlay(number));
        self.switch
            .run(|| {
                sh(&format!("ip link add p{number} type veth peer name eth0 netns {path}"));
                sh(&format!("ip link set p{number} master sw up"));
            })
            .unwrap();
        inside
            .run(|| {
                sh(&format!(
                    "ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up"
                ))
            })
            .unwrap();
        inside
    }

    /// A host with two instances of group 1 (numbers 2 and 3) and one of group 2 (number 4). It
    /// knows no other host yet.
    fn join(&mut self, number: u8) {
        let inside = self.machine(number);
        let overlay = Overlay {
            slug: Slug::new("aa").unwrap(),
            address: underlay(number),
            mode: self.mode,
            port: TUNNEL_PORT,
            cluster: "10.70.0.0/16".parse().unwrap(),
            subnet: subnet(number),
        };
        let tunnel = Tunnel { port: TUNNEL_PORT, identifier: overlay.identifier() };
        let base = Base {
            slug: overlay.slug.clone(),
            subnet: overlay.subnet,
            cluster: overlay.cluster,
            services: "10.71.0.0/16".parse().unwrap(),
            tunnel: (self.mode != Mode::Direct).then_some(tunnel),
        };
        let mut rules = Ruleset::new(base.clone());
        rules.allowed = BTreeSet::from([(group(1), group(1)), (group(2), group(2))]);
        for instance in [2, 3, 4] {
            let group = group(if instance == 4 { 2 } else { 1 });
            rules.instances.insert(at(number, instance), Instance { group, egress: true });
        }
        let service = |address| ServiceAddress { address, protocol: Protocol::Tcp, port: WEB };
        rules.services.insert(service(SERVICE), BTreeSet::new());
        rules.services.insert(service(OTHERS), BTreeSet::new());
        let mut instances = BTreeMap::new();
        inside
            .run(|| {
                net::sysctl::ensure_forwarding().unwrap();
                apply(&render_full(&rules)).unwrap();
                let mtu = overlay::mtu(&overlay).unwrap();
                let (slug, services) = (base.slug.clone(), base.services);
                let address = Ipv4Net::new(base.gateway(), 24).unwrap();
                ensure_bridge(&Bridge { slug, address, services, mtu }).unwrap();
                overlay::ensure(&overlay, []).unwrap();
                for instance in [2, 3, 4] {
                    let name = format!("instances/{number}-{instance}");
                    let link = InstanceLink {
                        slug: base.slug.clone(),
                        namespace: self.directory.path().join(name),
                        address: at(number, instance),
                        gateway: base.gateway(),
                        mtu,
                    };
                    attach(&link).unwrap();
                    instances.insert(instance, Namespace::open(&link.namespace).unwrap());
                }
            })
            .unwrap();
        for (instance, namespace) in &instances {
            let name: &'static str = format!("{number}-{instance}").leak();
            serve(namespace, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, BACKEND), name);
            serve_udp(namespace, SocketAddrV4::new(at(number, *instance), BACKEND), name);
        }
        self.hosts.insert(number, Host { number, inside, rules, overlay, instances });
    }

    /// Tells every host which others there are and what runs there, as a network table does.
    fn publish(&mut self) -> BTreeMap<u8, Changed> {
        let numbers: Vec<u8> = self.hosts.keys().copied().collect();
        let all: Vec<_> =
            self.hosts.values().flat_map(|host| host.rules.instances.clone()).collect();
        let mut changes = BTreeMap::new();
        for host in self.hosts.values_mut() {
            let this = host.number;
            let others = numbers.iter().filter(|number| **number != this);
            let peers = numbers
                .iter()
                .map(|number| Peer { subnet: subnet(*number), address: underlay(*number) });
            let changed = host.inside.run(|| overlay::ensure(&host.overlay, peers)).unwrap();
            changes.insert(host.number, changed.unwrap());
            host.change(|rules| {
                rules.hosts = others.map(|number| (subnet(*number), underlay(*number))).collect();
                let elsewhere = all.iter().map(|(address, known)| (*address, known.group));
                rules.elsewhere =
                    elsewhere.filter(|(a, _)| !rules.base.subnet.contains(a)).collect();
            });
        }
        changes
    }

    /// Points the services at instances: group 1's and group 2's.
    fn serve_at(&mut self, one: &[(u8, u8)], two: &[(u8, u8)]) {
        for host in self.hosts.values_mut() {
            host.change(|rules| {
                for (address, ends) in [(SERVICE, one), (OTHERS, two)] {
                    let key = ServiceAddress { address, protocol: Protocol::Tcp, port: WEB };
                    let ends = ends.iter().map(|(h, n)| SocketAddrV4::new(at(*h, *n), BACKEND));
                    rules.services.insert(key, ends.collect());
                }
            });
        }
    }

    fn instance(&self, host: u8, number: u8) -> &Namespace {
        &self.hosts[&host].instances[&number]
    }
}

impl Host {
    fn change(&mut self, change: impl FnOnce(&mut Ruleset)) {
        let mut next = self.rules.clone();
        change(&mut next);
        if let Some(script) = diff(&self.rules, &next) {
            self.inside.run(|| apply(&script).unwrap()).unwrap();
        }
        self.rules = next;
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for directory in [self.directory.path().join("instances"), self.directory.path().into()] {
            for path in namespace::list(&directory).unwrap() {
                if path.is_file() {
                    namespace::delete(&path).unwrap();
                }
            }
        }
    }
}

/// Who is refused hears so at once.
fn is_refused(result: std::io::Result<String>) {
    let error = result.expect_err("must not get through");
    let kinds = [
        std::io::ErrorKind::HostUnreachable,
        std::io::ErrorKind::NetworkUnreachable,
        std::io::ErrorKind::ConnectionRefused,
    ];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

fn two_hosts(mode: Mode) -> Segment {
    let mut segment = Segment::new(mode);
    segment.join(1);
    segment.join(2);
    segment.publish();
    segment.serve_at(&[(2, 2)], &[(2, 4)]);
    segment
}

#[test]
fn instances_reach_their_environment_on_other_hosts_and_no_other() {
    for mode in [Mode::Vxlan, Mode::Auto, Mode::Direct] {
        if !is_root() {
            return;
        }
        let segment = two_hosts(mode);
        let (here, there) = (segment.instance(1, 2), segment.instance(2, 2));
        let from = at(1, 2);
        assert_eq!(ask(here, SERVICE, WEB).unwrap(), format!("2-2 {from}"), "{mode}");
        assert_eq!(ask(here, at(2, 3), BACKEND).unwrap(), format!("2-3 {from}"));
        assert_eq!(ask(there, at(1, 2), BACKEND).unwrap(), format!("1-2 {}", at(2, 2)));
        assert_eq!(ask_udp(here, at(2, 3), BACKEND).unwrap(), "2-3");
        is_refused(ask(here, OTHERS, WEB));
        is_refused(ask(here, at(2, 4), BACKEND));
        is_refused(ask(segment.instance(1, 4), SERVICE, WEB));
        assert_eq!(ask(segment.instance(1, 4), OTHERS, WEB).unwrap(), format!("2-4 {}", at(1, 4)));
        // The ingress and its like speak from the host; an instance may not speak to hosts.
        let host = &segment.hosts[&1].inside;
        assert_eq!(
            ask(host, at(2, 4), BACKEND).unwrap(),
            format!("2-4 {}", gateway(subnet(1))),
            "{mode}"
        );
        serve(&segment.hosts[&2].inside, (Ipv4Addr::UNSPECIFIED, 53), "dns");
        is_refused(ask(here, gateway(subnet(2)), 53));
        assert!(no_answer(host, gateway(subnet(2)), 53), "{mode}: another host's DNS");
    }
}

#[test]
fn full_packets_pass_both_ways_under_load() {
    if !is_root() {
        return;
    }
    for mode in [Mode::Vxlan, Mode::Direct] {
        let segment = two_hosts(mode);
        let (here, there) = (segment.instance(1, 2), segment.instance(2, 2));
        let mtu = if mode == Mode::Direct { UNDERLAY_MTU } else { UNDERLAY_MTU - 50 };
        // IPv4 20, UDP 8.
        let full = usize::try_from(mtu).unwrap() - 28;
        let sink = there.run(|| UdpSocket::bind((at(2, 2), BULK))).unwrap().unwrap();
        sink.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let far = here.run(|| UdpSocket::bind((at(1, 2), BULK))).unwrap().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let payload = vec![7_u8; full];
        assert_eq!(far.send_to(&payload, (at(2, 2), BULK)).unwrap(), full, "{mode}");
        let mut buffer = vec![0; 2000];
        let (length, from) = sink.recv_from(&mut buffer).unwrap();
        assert_eq!(length, full);
        sink.send_to(&buffer[..length], from).unwrap();
        assert_eq!(far.recv_from(&mut buffer).unwrap().0, full, "{mode}: and back");
        let hosts = [1, 2].map(|number| &segment.hosts[&number].inside);
        for inside in [here, there, hosts[0], hosts[1]] {
            assert_eq!(cut(inside), 0, "{mode}: whole all the way");
        }
        far.send_to(&vec![7; full + 1], (at(2, 2), BULK)).unwrap();
        assert_eq!(sink.recv_from(&mut buffer).unwrap().0, full + 1);
        assert!(cut(here) > 0, "{mode}: one byte more is cut by its sender");
        let (sent, back) = bulk(here, there);
        assert_eq!(sent, back, "{mode}: what is sent comes back whole");
    }
}

/// How many packets were cut into pieces in a namespace.
fn cut(inside: &Namespace) -> u64 {
    let text = inside.run(|| sh("grep '^Ip:' /proc/net/snmp")).unwrap();
    let mut lines = text.lines().map(|line| line.split(' '));
    let at = lines.next().unwrap().position(|name| name == "FragCreates").unwrap();
    lines.next().unwrap().nth(at).unwrap().parse().unwrap()
}

/// Sends 32 MiB over four connections that echo; gives bytes sent and received.
fn bulk(here: &Namespace, there: &Namespace) -> (usize, usize) {
    const EACH: usize = 8 << 20;
    let listener = there.run(|| TcpListener::bind((at(2, 2), BULK))).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(4) {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut from = stream.try_clone().unwrap();
                std::io::copy(&mut from, &mut stream).unwrap();
            });
        }
    });
    let streams: Vec<TcpStream> = (0..4)
        .map(|_| here.run(|| TcpStream::connect((at(2, 2), BULK))).unwrap().unwrap())
        .collect();
    let received = std::thread::scope(|scope| {
        let readers: Vec<_> = streams
            .iter()
            .map(|stream| {
                let mut writer = stream.try_clone().unwrap();
                scope.spawn(move || {
                    writer.write_all(&vec![5; EACH]).unwrap();
                    writer.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut reader = stream.try_clone().unwrap();
                scope.spawn(move || {
                    let mut all = Vec::new();
                    reader.read_to_end(&mut all).unwrap();
                    all.len()
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>()
    });
    (4 * EACH, received)
}

#[test]
fn hosts_join_and_leave_while_others_talk() {
    if !is_root() {
        return;
    }
    for mode in [Mode::Vxlan, Mode::Direct] {
        let mut segment = two_hosts(mode);
        let echo = segment.instance(2, 2).run(|| TcpListener::bind((at(2, 2), 7))).unwrap();
        let echo = echo.unwrap();
        let mut stream =
            segment.instance(1, 2).run(|| TcpStream::connect((at(2, 2), 7))).unwrap().unwrap();
        let (mut served, _) = echo.accept().unwrap();
        let mut still = || {
            stream.write_all(b"still").unwrap();
            let mut buffer = [0; 5];
            served.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"still");
        };
        assert!(segment.publish().values().all(|changed| *changed == Changed::default()));
        segment.join(3);
        let changes = segment.publish();
        let counts = |number: u8| (changes[&number].added, changes[&number].removed);
        assert_eq!((counts(1), counts(2), counts(3)), ((1, 0), (1, 0), (2, 0)), "{mode}");
        segment.serve_at(&[(3, 2)], &[]);
        still();
        assert_eq!(
            ask(segment.instance(1, 2), SERVICE, WEB).unwrap(),
            format!("3-2 {}", at(1, 2)),
            "{mode}"
        );
        assert_eq!(
            ask(segment.instance(3, 2), at(2, 3), BACKEND).unwrap(),
            format!("2-3 {}", at(3, 2))
        );
        // Host 3 goes: nobody knows it any more, and it knows nobody who would listen.
        let gone = segment.hosts.remove(&3).unwrap();
        let changes = segment.publish();
        assert_eq!((changes[&1].added, changes[&1].removed), (0, 1));
        still();
        is_refused(ask(segment.instance(1, 2), at(3, 2), BACKEND));
        assert!(no_answer(&gone.instances[&2], at(1, 2), BACKEND), "{mode}: it left");
    }
}

/// Sends one datagram with a claimed sender to 10.70.1.2, and says whether it arrived.
fn arrives(segment: &Segment, from: &Namespace, claimed: Ipv4Addr) -> bool {
    let count = || {
        let datagrams = "grep '^Udp:' /proc/net/snmp | tail -1 | cut -d' ' -f2";
        segment.instance(1, 2).run(|| sh(datagrams)).unwrap().trim().parse::<u64>().unwrap()
    };
    let before = count();
    from.run(|| {
        sh(&format!("ip addr add {claimed}/32 dev lo 2>/dev/null || true"));
        let socket = UdpSocket::bind((claimed, 0)).unwrap();
        // The own filter may refuse it.
        let _ = socket.send_to(b"?", (at(1, 2), BACKEND));
    })
    .unwrap();
    // The kernel may deliver a little later than it says so: round trips let it catch up.
    let round_trip = || ask(segment.instance(2, 2), at(1, 2), BACKEND).unwrap();
    let after = (0..CATCH_UP).map(|_| (round_trip(), count()).1).find(|count| *count > before);
    from.run(|| sh(&format!("ip addr del {claimed}/32 dev lo 2>/dev/null || true"))).unwrap();
    after.is_some()
}

#[test]
fn a_host_speaks_for_its_own_instances_only() {
    if !is_root() {
        return;
    }
    for mode in [Mode::Vxlan, Mode::Direct] {
        let mut segment = two_hosts(mode);
        segment.join(3);
        segment.publish();
        let host = &segment.hosts[&2].inside;
        assert!(arrives(&segment, host, at(2, 200)), "{mode}: one of its own");
        assert!(!arrives(&segment, host, at(1, 3)), "{mode}: the receiver's own");
        assert!(!arrives(&segment, host, at(9, 9)), "{mode}: nobody's");
        if mode == Mode::Vxlan {
            assert!(!arrives(&segment, host, at(3, 2)), "another host's");
        }
    }
}

#[test]
fn a_stranger_on_the_segment_gets_nothing_in() {
    if !is_root() {
        return;
    }
    for mode in [Mode::Vxlan, Mode::Direct] {
        let segment = two_hosts(mode);
        let stranger = segment.machine(66);
        // The stranger knows everything a host knows and does what a host does.
        let posing = Overlay {
            address: underlay(66),
            subnet: subnet(66),
            ..segment.hosts[&2].overlay.clone()
        };
        let peer = Peer { subnet: subnet(1), address: underlay(1) };
        stranger
            .run(|| {
                sh(&format!("ip addr add {}/32 dev lo", gateway(subnet(66))));
                overlay::ensure(&posing, [peer]).unwrap();
            })
            .unwrap();
        // Who may forge senders on the segment itself can be any host there, tunnel or not; the
        // kernel's own stack, as here, cannot put another machine's address outside the tunnel.
        for claimed in [at(66, 2), at(2, 2), at(1, 3), underlay(66)] {
            if mode == Mode::Direct && claimed == at(2, 2) {
                continue;
            }
            assert!(!arrives(&segment, &stranger, claimed), "{mode}: as {claimed}");
        }
        assert!(no_answer(&stranger, at(1, 2), BACKEND), "{mode}");
    }
}

#[test]
fn an_instance_cannot_speak_as_its_host_through_the_tunnel() {
    if !is_root() {
        return;
    }
    let segment = two_hosts(Mode::Vxlan);
    let inside = segment.instance(2, 4);
    let error = inside
        .run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect((underlay(1), TUNNEL_PORT)).unwrap();
            socket.send(b"?").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.recv(&mut [0; 8]).unwrap_err()
        })
        .unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "refused by its own host");
}

#[test]
fn who_talks_to_an_instance_that_is_gone_is_reset() {
    if !is_root() {
        return;
    }
    let mut segment = two_hosts(Mode::Vxlan);
    let hold = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut byte = [0];
        stream.read(&mut byte)
    };
    for (service, port) in [(SERVICE, WEB), (at(2, 2), BACKEND)] {
        let echo = segment.instance(2, 2).run(|| TcpListener::bind((at(2, 2), 7))).unwrap();
        let echo = echo.unwrap();
        let to = if service == SERVICE { (SERVICE, WEB) } else { (at(2, 2), 7) };
        let seven = |segment: &mut Segment, ends: BTreeSet<SocketAddrV4>| {
            segment.hosts.get_mut(&1).unwrap().change(|rules| {
                let key = ServiceAddress { address: SERVICE, protocol: Protocol::Tcp, port: WEB };
                rules.services.insert(key, ends);
            });
        };
        seven(&mut segment, BTreeSet::from([SocketAddrV4::new(at(2, 2), 7)]));
        let mut stream = segment.instance(1, 2).run(|| TcpStream::connect(to)).unwrap().unwrap();
        let _served = echo.accept().unwrap();
        // As by power loss: host 2 leaves the tables without a word.
        segment.switch.run(|| sh("ip link set p2 down")).unwrap();
        seven(&mut segment, BTreeSet::new());
        segment.hosts.get_mut(&1).unwrap().change(|rules| {
            rules.elsewhere.remove(&at(2, 2));
        });
        let gone = BTreeSet::from([at(2, 2)]);
        let forgotten = segment.hosts[&1].inside.run(|| conntrack::forget(&gone).unwrap()).unwrap();
        assert_eq!(forgotten, 1);
        stream.write_all(b"?").unwrap();
        let error = hold(&mut stream).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{service}:{port}");
        segment.switch.run(|| sh("ip link set p2 up")).unwrap();
        segment.publish();
    }
}

#[test]
fn ways_are_adopted_mended_and_removed() {
    if !is_root() {
        return;
    }
    let mut segment = two_hosts(Mode::Vxlan);
    let peers = [1, 2].map(|n| Peer { subnet: subnet(n), address: underlay(n) });
    let host = segment.hosts.get_mut(&1).unwrap();
    let index = || sh("ip -o link show fxaa | cut -d: -f1");
    host.inside
        .run(|| {
            let before = index();
            assert_eq!(overlay::ensure(&host.overlay, peers).unwrap(), Changed::default());
            sh("ip route del 10.70.2.0/24; ip neigh flush dev fxaa nud permanent");
            sh("ip route add 10.70.8.0/24 dev eth0; ip link set fxaa mtu 1300");
            assert_eq!(overlay::ensure(&host.overlay, peers).unwrap().added, 1);
            assert_eq!(index(), before, "the device stays");
            assert!(sh("ip route").contains("10.70.8.0/24"), "what others made stays");
            assert!(sh("ip link show fxaa").contains("mtu 1450"));
            assert!(!sh("ip neigh show dev fxaa nud permanent").is_empty());
            // Another port is another device.
            let other = Overlay { port: 4790, ..host.overlay.clone() };
            overlay::ensure(&other, peers).unwrap();
            assert!(sh("ip -d link show fxaa").contains("dstport 4790"));
            assert!(sh("ip route").contains("10.70.2.0/24 via 10.70.2.1 dev fxaa"));
            overlay::remove(&host.overlay.slug, host.overlay.cluster).unwrap();
            overlay::remove(&host.overlay.slug, host.overlay.cluster).unwrap();
            assert!(!sh("ip route").contains("10.70.2.0/24"));
            assert!(!sh("ip link").contains("fxaa"));
            sh("ip link add fxaa type bridge");
            assert!(
                overlay::ensure(&host.overlay, peers).unwrap_err().to_string().contains("bridge")
            );
            let gone = Overlay { address: underlay(77), ..host.overlay.clone() };
            assert!(overlay::mtu(&gone).unwrap_err().to_string().contains("192.0.2.77"));
            link::delete_bridge(&host.overlay.slug).unwrap();
        })
        .unwrap();
}
