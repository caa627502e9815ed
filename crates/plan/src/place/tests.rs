//! Placement on pools of hosts, small and with thousands, against a naive scan of all hosts.

use std::net::Ipv4Addr;

use api::time::Timestamp;
use proptest::prelude::*;

use super::*;

fn host(name: &str, domain: &str) -> Host {
    Host {
        name: HostId::new(name).unwrap(),
        domain: domain.parse().unwrap(),
        labels: BTreeMap::new(),
        subnet: "10.128.0.0/24".parse().unwrap(),
        address: Ipv4Addr::LOCALHOST,
        state: HostState::Ready,
        joined: Timestamp(0),
        down_since: None,
    }
}

fn capacity(cpu: u32, memory_mib: u64) -> Capacity {
    Capacity {
        cpu: MilliCpu(cpu),
        memory: Bytes::mib(memory_mib),
        pids: 30_000,
        disk: Bytes::mib(100_000),
        instances: 253,
    }
}

fn need(cpu: u32, memory_mib: u64) -> Need {
    Need { cpu: MilliCpu(cpu), memory: Bytes::mib(memory_mib), pids: 10, disk: Bytes(0) }
}

const ALL: [DomainLevel; 4] =
    [DomainLevel::Zone, DomainLevel::Rack, DomainLevel::Hypervisor, DomainLevel::Host];

struct Ask {
    labels: BTreeMap<String, String>,
    avoid: BTreeSet<HostId>,
}

impl Ask {
    fn new() -> Self {
        Self { labels: BTreeMap::new(), avoid: BTreeSet::new() }
    }

    fn place(&self, pool: &mut Pool, place: u32, need: Need) -> Result<Found, Box<NoHost>> {
        let (labels, avoid) = (&self.labels, &self.avoid);
        let warm = &Marks::default();
        let request = Request { place, need, labels, by: &ALL, max_skew: 1, avoid, warm };
        let found = pool.find(&request)?;
        pool.take(&found.host, place, &need);
        Ok(found)
    }
}

#[test]
fn instances_spread_over_the_outermost_domains_first() {
    let hosts: Vec<Host> = (0..12)
        .map(|n| host(&format!("h{n}"), &format!("z{}/r{}/v{}", n / 6, n / 3, n / 2)))
        .collect();
    let mut pool = Pool::new(hosts.iter().map(|h| (h, capacity(4000, 4096))));
    let ask = Ask::new();
    let mut zones = [0u32; 2];
    let mut racks = [0; 4];
    for n in 0..8u32 {
        let found = ask.place(&mut pool, 1, need(100, 64)).unwrap();
        let number: usize = found.host.as_str()[1..].parse().unwrap();
        zones[number / 6] += 1;
        racks[number / 3] += 1;
        assert!(zones[0].abs_diff(zones[1]) <= 1, "after {n}: {zones:?}");
    }
    assert_eq!(racks, [2, 2, 2, 2]);
}

#[test]
fn an_avoided_host_is_taken_only_when_no_other_can() {
    let hosts = [host("a", ""), host("b", "")];
    let mut pool = Pool::new(hosts.iter().map(|h| (h, capacity(200, 1024))));
    let ask = Ask { avoid: BTreeSet::from([HostId::new("a").unwrap()]), ..Ask::new() };
    let names: Vec<(String, bool)> = (0..4)
        .map(|_| ask.place(&mut pool, 1, need(100, 64)).unwrap())
        .map(|found| (found.host.to_string(), found.avoided))
        .collect();
    let expected = [("b", false), ("b", false), ("a", true), ("a", true)];
    assert_eq!(names, expected.map(|(name, avoided)| (name.to_owned(), avoided)));
    let why = ask.place(&mut pool, 1, need(100, 64)).unwrap_err();
    assert_eq!((why.hosts, why.cpu.hosts, why.memory.hosts), (2, 2, 0));
    assert!(why.to_string().contains("2 of 2 lack cpu (100m asked, 0 free at most)"), "{why}");
}

#[test]
fn labels_and_states_are_hard() {
    let mut labelled = host("a", "");
    labelled.labels.insert("disk".into(), "ssd".into());
    let mut down = labelled.clone();
    down.name = HostId::new("b").unwrap();
    down.down_since = Some(Timestamp(0));
    let hosts = [labelled, down, host("c", "")];
    let mut pool = Pool::new(hosts.iter().map(|h| (h, capacity(150, 1024))));
    let ask = Ask { labels: BTreeMap::from([("disk".into(), "ssd".into())]), ..Ask::new() };
    assert_eq!(ask.place(&mut pool, 1, need(100, 64)).unwrap().host.as_str(), "a");
    let why = ask.place(&mut pool, 1, need(100, 64)).unwrap_err();
    assert_eq!((why.not_ready, why.labels, why.cpu.hosts), (1, 1, 1));
}

#[test]
fn thousands_of_instances_go_onto_a_thousand_hosts_evenly() {
    let hosts: Vec<Host> =
        (0..1000).map(|n| host(&format!("h{n}"), &format!("r{}/v{}", n / 100, n / 20))).collect();
    let mut pool = Pool::new(hosts.iter().map(|h| (h, capacity(4000, 16_384))));
    let ask = Ask::new();
    let mut per_app = BTreeMap::<(u32, String), u32>::new();
    for n in 0..20_000u32 {
        let app = n % 40;
        let found = ask.place(&mut pool, app, need(100, 256)).unwrap();
        *per_app.entry((app, found.host.to_string())).or_default() += 1;
    }
    assert!(per_app.values().all(|n| *n == 1), "an app of 500 never doubles on 1,000 hosts");
    for rack in 0..10 {
        let in_rack = |(_, name): &(u32, String)| name[1..].parse::<u32>().unwrap() / 100 == rack;
        let held: u32 = per_app.iter().filter(|(key, _)| in_rack(key)).map(|(_, n)| n).sum();
        assert_eq!(held, 2000, "rack {rack}");
    }
}

proptest! {
    /// A host is found exactly when a scan of all hosts finds one, it has room, and of the
    /// outermost domains with a host that could take it, it stands in one that holds the fewest.
    #[test]
    fn agrees_with_a_naive_scan(
        sizes in prop::collection::vec((1u32..8, 1u64..8, 0usize..3, 0usize..3), 1..12),
        asks in prop::collection::vec((0u32..3, 1u32..4, 1u64..4), 1..60),
    ) {
        let hosts: Vec<Host> = sizes.iter().enumerate()
            .map(|(n, (_, _, rack, hv))| host(&format!("h{n}"), &format!("r{rack}/v{rack}{hv}")))
            .collect();
        let mut free: Vec<(u32, u64)> = sizes.iter().map(|s| (s.0 * 100, s.1 * 64)).collect();
        let mut pool = Pool::new(hosts.iter().zip(&free).map(|(h, f)| (h, capacity(f.0, f.1))));
        let mut held = vec![[0u32; 3]; sizes.len()];
        for (app, cpu, memory) in asks {
            let need = need(cpu * 100, memory * 64);
            let fits = |n: usize| free[n].0 >= cpu * 100 && free[n].1 >= memory * 64;
            let in_rack = |rack: usize| -> u32 {
                let inside = (0..sizes.len()).filter(|n| sizes[*n].2 == rack);
                inside.map(|n| held[n][app as usize]).sum()
            };
            let fewest = (0..sizes.len()).filter(|n| fits(*n)).map(|n| in_rack(sizes[n].2)).min();
            match Ask::new().place(&mut pool, app, need) {
                Ok(found) => {
                    let n: usize = found.host.as_str()[1..].parse().unwrap();
                    prop_assert!(fits(n), "{:?} has no room", found);
                    prop_assert_eq!(Some(in_rack(sizes[n].2)), fewest);
                    prop_assert_eq!(found.on_host, held[n][app as usize]);
                    free[n].0 -= cpu * 100;
                    free[n].1 -= memory * 64;
                    held[n][app as usize] += 1;
                }
                Err(_) => prop_assert_eq!(fewest, None),
            }
        }
    }
}
