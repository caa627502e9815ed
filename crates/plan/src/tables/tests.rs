//! Which hosts and instances stand in the tables while hosts fall silent.

use std::collections::BTreeMap;

use api::assignment::{Assignment, Entry};
use api::host::{Host, HostState};
use api::id::ReleaseNumber;
use api::time::Timestamp;

use super::*;

fn name(number: u8) -> HostId {
    HostId::new(format!("h{number}")).unwrap()
}

/// Three hosts with an instance each.
fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::empty();
    for number in 1..=3 {
        let subnet = format!("10.128.{number}.0/24").parse().unwrap();
        let host = Host {
            name: name(number),
            domain: "".parse().unwrap(),
            labels: BTreeMap::new(),
            subnet,
            address: format!("192.0.2.{number}").parse().unwrap(),
            state: HostState::Ready,
            joined: Timestamp(0),
            down_since: None,
        };
        let entry = Entry {
            instance: InstanceId::new(format!("shop-staging-0000000{number}")).unwrap(),
            app: AppName::new("shop").unwrap(),
            environment: EnvironmentName::new("staging").unwrap(),
            release: ReleaseNumber(1),
            wanted: Wanted::Run,
            address: format!("10.128.{number}.2").parse().unwrap(),
            replaces: None,
            epoch: 0,
        };
        let mut assignment = Assignment::empty(name(number));
        assignment.entries.push(entry);
        snapshot.hosts.insert(name(number), host);
        snapshot.assignments.insert(name(number), assignment);
    }
    snapshot
}

fn network(snapshot: &Snapshot) -> (Vec<String>, Vec<String>) {
    let table = tables(snapshot).network;
    let hosts = table.hosts.iter().map(|route| format!("{} {}", route.address, route.subnet));
    let instances = table.instances.iter().map(|known| known.address.to_string());
    (hosts.collect(), instances.collect())
}

#[test]
fn hosts_are_known_with_their_instances_until_they_are_taken_for_dead() {
    let mut snapshot = cluster();
    let (hosts, instances) = network(&snapshot);
    assert_eq!(hosts[1], "192.0.2.2 10.128.2.0/24");
    assert_eq!((hosts.len(), instances.len()), (3, 3));
    // A suspect may be alive: the way there stays, nothing is sent any more.
    snapshot.suspects.insert(name(2));
    let (hosts, instances) = network(&snapshot);
    assert_eq!((hosts.len(), instances), (3, vec!["10.128.1.2".into(), "10.128.3.2".to_owned()]));
    snapshot.suspects.clear();
    snapshot.hosts.get_mut(&name(2)).unwrap().down_since = Some(Timestamp(1));
    let (hosts, instances) = network(&snapshot);
    assert_eq!(hosts, ["192.0.2.1 10.128.1.0/24", "192.0.2.3 10.128.3.0/24"]);
    assert_eq!(instances, ["10.128.1.2", "10.128.3.2"]);
}
