//! Making, adopting, mending and removing namespaces, bridges and instances' links.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

use ipnet::Ipv4Net;
use net::check::{Level, doctor};
use net::link::{
    Bridge, LinkError, attach, delete_bridge, detach, ensure_bridge, ports, remove_all,
};
use net::namespace::{self, Namespace, NamespaceError};
use net::nft::{Group, Instance, Protocol, Ruleset, ServiceAddress};
use net::{address, conntrack, sysctl};

use crate::world::{World, ask, base, install, is_root, serve, sh};

fn bridge(rules: &Ruleset, mtu: u32) -> Bridge {
    let address = Ipv4Net::new(rules.base.gateway(), 24).unwrap();
    Bridge { slug: rules.base.slug.clone(), address, services: rules.base.services, mtu }
}

/// The host's links and routes, in a fixed order and without counters.
fn picture(world: &World) -> String {
    world.host.run(|| sh("ip -o link | cut -d' ' -f2-9 | sort; ip -4 route | sort")).unwrap()
}

#[test]
fn a_namespace_has_its_settings_and_is_gone_after_deletion() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let path = world.instances().join("one");
    assert!(matches!(Namespace::open(&path), Err(NamespaceError::NotThere { .. })));
    let created = Namespace::create(&path, sysctl::INSTANCE).unwrap();
    assert!(matches!(Namespace::create(&path, &[]), Err(NamespaceError::Exists { .. })));
    let seen = created.run(|| {
        (sysctl::read("net/ipv4/ip_unprivileged_port_start").unwrap(), sh("ip -o link | wc -l"))
    });
    assert_eq!(seen.unwrap(), ("0".to_owned(), "1\n".to_owned()));
    assert_ne!(
        sh("readlink /proc/self/ns/net"),
        created.run(|| sh("readlink /proc/self/ns/net")).unwrap()
    );
    let (_, new) = Namespace::ensure(&path, &[]).unwrap();
    assert!(!new, "what exists is taken");
    assert_eq!(namespace::list(&world.instances()).unwrap(), std::slice::from_ref(&path));
    namespace::delete(&path).unwrap();
    namespace::delete(&path).unwrap();
    assert!(namespace::list(&world.instances()).unwrap().is_empty());
    // An interrupted creation leaves an ordinary file, which is replaced.
    fs::write(&path, "").unwrap();
    assert!(Namespace::ensure(&path, &[]).unwrap().1);
    // One that fails midway leaves nothing.
    let other = world.instances().join("two");
    let wrong = sysctl::Sysctl { name: "net/no/such", value: "1", optional: false };
    assert!(matches!(Namespace::create(&other, &[wrong]), Err(NamespaceError::Settings { .. })));
    assert!(!other.exists());
    assert!(namespace::list(&world.instances().join("missing")).unwrap().is_empty());
}

#[test]
fn a_panic_inside_a_namespace_reaches_the_caller() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let caught = std::panic::catch_unwind(|| {
        let _ = world.host.run(|| panic!("inside"));
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
fn a_bridge_is_made_once_and_mended() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    world.host.run(|| ensure_bridge(&bridge(&rules, 1450)).unwrap()).unwrap();
    let made = picture(&world);
    assert!(made.contains("mtu 1450") && made.contains("10.61.0.0/16 dev fhaa"), "{made}");
    world.host.run(|| ensure_bridge(&bridge(&rules, 1450)).unwrap()).unwrap();
    assert_eq!(picture(&world), made);
    world
        .host
        .run(|| {
            sh("ip addr flush dev fhaa; ip addr add 10.99.0.1/24 dev fhaa; ip link set fhaa down");
            sh("sysctl -qw net.ipv4.conf.fhaa.route_localnet=1");
            ensure_bridge(&bridge(&rules, 1450)).unwrap();
            assert_eq!(sysctl::read("net/ipv4/conf/fhaa/route_localnet").unwrap(), "0");
            assert_eq!(sysctl::read("net/ipv4/conf/fhaa/forwarding").unwrap(), "1");
        })
        .unwrap();
    assert_eq!(picture(&world), made);
    world
        .host
        .run(|| {
            delete_bridge(&rules.base.slug).unwrap();
            delete_bridge(&rules.base.slug).unwrap();
            sh("ip link add fhaa type veth peer name x");
            let error = ensure_bridge(&bridge(&rules, 1450)).unwrap_err();
            assert!(matches!(error, LinkError::NotABridge { kind, .. } if kind == "veth"));
        })
        .unwrap();
}

#[test]
fn a_refusal_carries_the_kernels_words() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    let error = world.host.run(|| ensure_bridge(&bridge(&rules, 70_000)).unwrap_err()).unwrap();
    let LinkError::Netlink(error) = error else { panic!("{error:?}") };
    let words = "creating bridge fhaa (mtu greater than device maximum)";
    assert_eq!((error.to_string().as_str(), error.errno()), (words, Some(libc::EINVAL)));
}

#[test]
fn an_attachment_is_adopted_mended_or_made_anew() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let mut rules = Ruleset::new(base("aa", 60));
    let instance = Instance { group: Group::new(1).unwrap(), egress: true };
    rules.instances.insert(Ipv4Addr::new(10, 60, 0, 2), instance);
    let wanted = world.link(&rules.base, 2);
    let try_attach = || world.host.run(|| attach(&wanted)).unwrap();
    assert!(matches!(try_attach(), Err(LinkError::NoBridge { .. })));
    assert!(!wanted.namespace.exists());
    install(&world, &rules);
    let first = try_attach().unwrap();
    assert_eq!((first.port.as_str(), first.adopted), ("fv0a3c0002", false));
    let made = picture(&world);
    let inside = Namespace::open(&wanted.namespace).unwrap();
    serve(&inside, SocketAddrV4::new(wanted.address, 80), "in");
    let works = || assert_eq!(ask(&world.host, wanted.address, 80).unwrap(), "in 10.60.0.1");
    works();
    assert!(try_attach().unwrap().adopted);
    assert_eq!(picture(&world), made);
    let damages: [(&Namespace, &str, bool); 7] = [
        (&inside, "ip link set eth0 down", true),
        (&inside, "ip route flush table main", true),
        (&inside, "ip addr add 10.60.0.77/24 dev eth0; ip link set eth0 mtu 900", true),
        (&world.host, "ip link set fv0a3c0002 down group default", true),
        (&world.host, "ip route del 10.60.0.2/32", true),
        (&inside, "ip link del eth0", false),
        (&inside, "ip link set eth0 down; ip link set eth0 name ens1", false),
    ];
    for (place, damage, adopted) in damages {
        place.run(|| sh(damage)).unwrap();
        assert_eq!(try_attach().unwrap().adopted, adopted, "{damage}");
        works();
        let addresses = inside.run(|| sh("ip -o -4 addr show scope global | wc -l")).unwrap();
        assert_eq!(addresses, "1\n", "{damage}");
        let names = world.host.run(|| ports(&rules.base.slug).unwrap()).unwrap();
        assert_eq!(names.len(), 1, "{damage}");
        assert_eq!(names[0].address, wanted.address);
    }
    // The namespace is gone but the name of the port is taken by something else.
    world.host.run(|| detach(&wanted.namespace, wanted.address).unwrap()).unwrap();
    world.host.run(|| sh("ip link add fv0a3c0002 type veth peer name stray")).unwrap();
    assert!(!try_attach().unwrap().adopted);
    world
        .host
        .run(|| {
            detach(&wanted.namespace, wanted.address).unwrap();
            detach(&wanted.namespace, wanted.address).unwrap();
        })
        .unwrap();
    assert!(!wanted.namespace.exists());
}

#[test]
fn an_instance_has_no_ipv6_but_its_own_loopback_and_believes_no_redirects() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    install(&world, &rules);
    let inside = world.attach(&rules.base, 2);
    let addresses = inside.run(|| sh("ip -o addr | awk '{print $2, $4}' | sort")).unwrap();
    assert_eq!(addresses, "eth0 10.60.0.2/32\nlo 127.0.0.1/8\nlo ::1/128\n");
    let routes = inside.run(|| sh("ip route | sort | sed 's/ *$//'")).unwrap();
    assert!(routes.starts_with("10.60.0.1 dev eth0"), "{routes}");
    assert!(routes.contains("default via 10.60.0.1 dev eth0"), "{routes}");
    let redirects = inside.run(|| sysctl::read("net/ipv4/conf/eth0/accept_redirects").unwrap());
    assert_eq!(redirects.unwrap(), "0");
    let port = world.host.run(|| sh("ip -o -6 addr show dev fv0a3c0002 | wc -l")).unwrap();
    assert_eq!(port, "0\n");
}

#[test]
fn a_hundred_at_once_come_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    install(&world, &rules);
    let before = picture(&world);
    let links: Vec<_> = (2..102).map(|number| world.link(&rules.base, number)).collect();
    world
        .host
        .run(|| {
            std::thread::scope(|scope| {
                for link in &links {
                    scope.spawn(|| assert!(!attach(link).unwrap().adopted));
                }
            });
            let found: BTreeSet<Ipv4Addr> =
                ports(&rules.base.slug).unwrap().into_iter().map(|port| port.address).collect();
            assert_eq!(found, links.iter().map(|link| link.address).collect());
            std::thread::scope(|scope| {
                for link in &links {
                    scope.spawn(|| detach(&link.namespace, link.address).unwrap());
                }
            });
        })
        .unwrap();
    assert_eq!(picture(&world), before);
    assert!(namespace::list(&world.instances()).unwrap().is_empty());
}

#[test]
fn clean_up_takes_only_what_carries_the_slug() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (ours, theirs) = (Ruleset::new(base("aa", 60)), Ruleset::new(base("bb", 70)));
    install(&world, &theirs);
    world.attach(&theirs.base, 2);
    let before = picture(&world);
    install(&world, &ours);
    world.attach(&ours.base, 2);
    world.attach(&ours.base, 3);
    let own = world.instances().join("own");
    fs::create_dir(&own).unwrap();
    world
        .host
        .run(|| {
            // Also without its bridge, and twice.
            delete_bridge(&ours.base.slug).unwrap();
            remove_all(&ours.base.slug, &own).unwrap();
            remove_all(&ours.base.slug, &own).unwrap();
        })
        .unwrap();
    fs::remove_dir(&own).unwrap();
    assert_eq!(picture(&world), before);
}

#[test]
fn forgotten_connections_are_reset_and_others_stay() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let mut rules = Ruleset::new(base("aa", 60));
    let group = Group::new(1).unwrap();
    rules.allowed.insert((group, group));
    let at = |last: u8| Ipv4Addr::new(10, 60, 0, last);
    for last in [2, 3, 4] {
        rules.instances.insert(at(last), Instance { group, egress: true });
    }
    let virtual_address = Ipv4Addr::new(10, 61, 0, 9);
    let service = ServiceAddress { address: virtual_address, protocol: Protocol::Tcp, port: 80 };
    rules.services.insert(service, BTreeSet::from([SocketAddrV4::new(at(3), 80)]));
    install(&world, &rules);
    let client = world.attach(&rules.base, 2);
    let listen = |last: u8| {
        let inside = world.attach(&rules.base, last);
        inside.run(|| TcpListener::bind((at(last), 80)).unwrap()).unwrap()
    };
    let (three, four) = (listen(3), listen(4));
    let open = |to| client.run(|| TcpStream::connect((to, 80)).unwrap()).unwrap();
    let (mut through, mut direct) = (open(virtual_address), open(at(4)));
    let (_held, _) = three.accept().unwrap();
    let (mut peer, _) = four.accept().unwrap();
    // 3 fails: its endpoint goes to 4 and its connections are forgotten.
    let mut next = rules.clone();
    next.services.insert(service, BTreeSet::from([SocketAddrV4::new(at(4), 80)]));
    let forgotten = world
        .host
        .run(|| {
            net::nft::apply(&net::nft::diff(&rules, &next).unwrap()).unwrap();
            conntrack::forget(&BTreeSet::from([at(3)])).unwrap()
        })
        .unwrap();
    assert_eq!(forgotten, 1);
    through.write_all(b"hello?").unwrap();
    let error = through.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    direct.write_all(b"x").unwrap();
    peer.read_exact(&mut [0; 1]).unwrap();
    let nobody = BTreeSet::from([at(77)]);
    let nobody = world.host.run(|| conntrack::forget(&nobody).unwrap()).unwrap();
    assert_eq!(nobody, 0);
}

#[test]
fn the_doctor_sees_what_stands_in_the_way() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    let look = || world.host.run(|| doctor(&rules.base.slug)).unwrap();
    let level = |subject: &str| {
        look().iter().find(|finding| finding.subject == subject).map(|finding| finding.level)
    };
    world.host.run(|| sh("sysctl -qw net.ipv4.ip_forward=0")).unwrap();
    assert_eq!(level("forwarding"), Some(Level::Note));
    let turned = world.host.run(|| sysctl::ensure_forwarding().unwrap()).unwrap();
    assert_eq!(turned, sysctl::Forwarding::TurnedOn);
    let again = world.host.run(|| sysctl::ensure_forwarding().unwrap()).unwrap();
    assert_eq!(again, sysctl::Forwarding::AlreadyOn);
    assert_eq!(level("forwarding"), Some(Level::Fine));
    assert_eq!(level("packet filter"), Some(Level::Fine));
    assert_eq!(level("other packet filters"), Some(Level::Fine));
    assert!(!world.host.run(|| sh("nft list tables")).unwrap().contains("freehold"));
    let docker = "nft 'add table ip filter; add chain ip filter FORWARD \
                  { type filter hook forward priority 0; policy drop; }'";
    world.host.run(|| sh(docker)).unwrap();
    assert_eq!(level("other packet filters"), Some(Level::Broken));
}

#[test]
fn what_the_host_uses_is_found_with_its_interface() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let rules = Ruleset::new(base("aa", 60));
    install(&world, &rules);
    let _outside = world.outside();
    world.host.run(|| sh("ip route add 10.99.0.0/16 dev uplink")).unwrap();
    let used = world.host.run(|| address::occupied(&rules.base.slug).unwrap()).unwrap();
    let collides = |text: &str| {
        address::check_free(text.parse().unwrap(), &used).err().map(|c| c.existing.interface)
    };
    assert_eq!(collides("10.96.0.0/12"), Some("uplink".into()));
    assert_eq!(collides("203.0.113.0/28"), Some("uplink".into()));
    assert_eq!(collides("127.0.0.0/24"), Some("lo".into()));
    assert_eq!(collides("10.60.0.0/16"), None, "our own bridge is no collision");
    let stranger = net::Slug::new("cc").unwrap();
    let used = world.host.run(|| address::occupied(&stranger).unwrap()).unwrap();
    let taken = address::check_free("10.60.0.0/16".parse().unwrap(), &used).unwrap_err();
    assert_eq!(taken.existing.interface, "fhaa");
}

#[test]
fn links_of_every_kind_are_read() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (listed, found) = world
        .host
        .run(|| {
            sh("ip link add base type veth peer name other");
            let kinds = [
                "bridge forward_delay 200",
                "veth peer name far",
                "vxlan id 7 dstport 4789 dev base",
                "geneve id 7 remote 10.0.0.9",
                "macvlan mode bridge",
                "macvtap mode bridge",
                "ipvlan",
                "vlan id 7",
                "bond mode 802.3ad",
                "vrf table 9",
                "gre remote 10.0.0.9",
                "gretap remote 10.0.0.9",
                "ipip remote 10.0.0.9",
                "sit remote 10.0.0.9",
                "vti remote 10.0.0.9 key 7",
                "xfrm if_id 7 dev base",
                "macsec",
                "team",
                "dummy",
                "ifb",
                "wireguard",
                "netkit",
            ];
            for (number, kind) in kinds.into_iter().enumerate() {
                // Which of them there are is the kernel's choice.
                sh(&format!(
                    "(ip link add k{number} type {kind} || ip link add link base k{number} \
                     type {kind}) 2>/dev/null && ip addr add 10.90.{number}.1/24 dev k{number} \
                     || true"
                ));
            }
            let listed = sh("ip -o -4 addr | awk '{print $2, $4}' | sort");
            let found = address::occupied(&base("aa", 60).slug).unwrap();
            (listed, found)
        })
        .unwrap();
    assert!(listed.contains("k0 10.90.0.1/24"), "{listed}");
    for line in listed.lines() {
        let (interface, address) = line.split_once(' ').unwrap();
        let net = address.parse::<Ipv4Net>().unwrap().trunc();
        let there = |one: &address::Occupied| one.interface == interface && one.net == net;
        assert!(found.iter().any(there), "{line} of\n{listed}");
    }
}
