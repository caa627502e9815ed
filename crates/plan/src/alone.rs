//! What a host decides for its own traffic while no server can decide for it: connections go to no
//! host that it hears no more itself. Nothing is moved or stopped by this.
//!
//! Servers, when they are back, need a moment to find the same: who was left stays left until it is
//! heard again, and nobody else is left by a host's word alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use api::id::HostId;
use api::ingress::IngressTable;
use api::liveness::Observed;
use api::network::{HostRoute, NetworkTable};
use ipnet::Ipv4Net;

/// Which hosts this one leaves, from those that it left before. `decides` says whether a server in
/// reach decides, `observed` is what this host finds of its `targets` observed hosts.
///
/// Who hears nobody is cut off itself and leaves nobody; who was late itself has no word.
#[must_use]
pub fn left(
    before: &BTreeSet<HostId>,
    decides: bool,
    observed: &Observed,
    targets: usize,
) -> BTreeSet<HostId> {
    let may = !decides && observed.votes && observed.silent.len() < targets;
    let silent = observed.silent.iter().map(|silence| &silence.host);
    silent.filter(|host| may || before.contains(*host)).cloned().collect()
}

/// A table without the instances on hosts that are left. A service keeps its endpoints where it
/// would have none. The ways to those hosts stay.
#[must_use]
pub fn network(table: &NetworkTable, left: &BTreeSet<HostId>) -> NetworkTable {
    let behind = subnets(&table.hosts, left);
    let gone = |address: &Ipv4Addr| behind.iter().any(|subnet| subnet.contains(address));
    let mut table = table.clone();
    let mut kept = BTreeSet::new();
    for service in &mut table.services {
        if service.endpoints.iter().all(|endpoint| gone(endpoint.ip())) {
            kept.extend(service.endpoints.iter().map(|endpoint| *endpoint.ip()));
        } else {
            service.endpoints.retain(|endpoint| !gone(endpoint.ip()));
        }
    }
    table.instances.retain(|it| !gone(&it.address) || kept.contains(&it.address));
    table
}

/// The same for the ingress; `hosts` are those of the network table.
#[must_use]
pub fn ingress(table: &IngressTable, hosts: &[HostRoute], left: &BTreeSet<HostId>) -> IngressTable {
    let behind = subnets(hosts, left);
    let gone = |address: IpAddr| match address {
        IpAddr::V4(address) => behind.iter().any(|subnet| subnet.contains(&address)),
        IpAddr::V6(_) => false,
    };
    let mut table = table.clone();
    for backend in &mut table.backends {
        if !backend.endpoints.iter().all(|endpoint| gone(endpoint.address.ip())) {
            backend.endpoints.retain(|endpoint| !gone(endpoint.address.ip()));
        }
    }
    table
}

fn subnets(hosts: &[HostRoute], left: &BTreeSet<HostId>) -> Vec<Ipv4Net> {
    hosts.iter().filter(|route| left.contains(&route.host)).map(|route| route.subnet).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use api::id::Generation;
    use api::ingress::{Backend, Endpoint};
    use api::liveness::Silence;
    use api::network::{InstanceAddress, Service};
    use api::unit::Millis;
    use proptest::prelude::*;

    use super::*;

    fn host(number: u8) -> HostId {
        HostId::new(format!("h{number}")).unwrap()
    }

    fn hosts(numbers: &[u8]) -> BTreeSet<HostId> {
        numbers.iter().map(|number| host(*number)).collect()
    }

    fn observed(silent: &[u8], votes: bool) -> Observed {
        let silence = |number: &u8| Silence { host: host(*number), silent: Millis(800) };
        let silent = silent.iter().map(silence).collect();
        Observed { generation: Generation(1), silent, votes }
    }

    #[test]
    fn nobody_new_is_left_while_a_server_decides() {
        let none = BTreeSet::new();
        assert_eq!(left(&none, true, &observed(&[1], true), 3), none);
        let alone = left(&none, false, &observed(&[1, 2], true), 3);
        assert_eq!(alone, hosts(&[1, 2]));
        // A server is back, and has not found it out yet; one of them is heard again.
        assert_eq!(left(&alone, true, &observed(&[1], true), 3), hosts(&[1]));
        assert_eq!(left(&hosts(&[1]), true, &observed(&[], true), 3), none);
    }

    #[test]
    fn who_hears_nobody_or_was_late_leaves_nobody_new() {
        let none = BTreeSet::new();
        assert_eq!(left(&none, false, &observed(&[1, 2, 3], true), 3), none);
        assert_eq!(left(&none, false, &observed(&[1], true), 1), none);
        assert_eq!(left(&none, false, &observed(&[1], false), 3), none);
        assert_eq!(left(&hosts(&[1]), false, &observed(&[1], false), 3), hosts(&[1]));
    }

    /// An address on each named host.
    fn table(on: &[&[u8]]) -> (NetworkTable, IngressTable) {
        let address = |number: &u8| Ipv4Addr::new(10, 128, *number, 2);
        let environment = || "prod".parse().unwrap();
        let mut network = NetworkTable::default();
        let mut ingress = IngressTable::default();
        network.hosts = (0..6)
            .map(|number| HostRoute {
                host: host(number),
                address: Ipv4Addr::new(10, 0, 0, number),
                subnet: Ipv4Net::new(Ipv4Addr::new(10, 128, number, 0), 24).unwrap(),
            })
            .collect();
        for (index, on) in on.iter().enumerate() {
            let app: api::id::AppName = format!("app{index}").parse().unwrap();
            network.services.push(Service {
                app: app.clone(),
                environment: environment(),
                address: Ipv4Addr::new(10, 127, 0, u8::try_from(index).unwrap()),
                port: 80,
                endpoints: on.iter().map(|it| SocketAddrV4::new(address(it), 80)).collect(),
            });
            for number in *on {
                let instance: api::id::InstanceId = format!("app{index}-{number}").parse().unwrap();
                network.instances.push(InstanceAddress {
                    instance: instance.clone(),
                    app: app.clone(),
                    environment: environment(),
                    address: address(number),
                });
                let endpoint = Endpoint {
                    instance,
                    release: api::id::ReleaseNumber(1),
                    address: (address(number), 8080).into(),
                    weight: 1,
                };
                match ingress.backends.get_mut(index) {
                    Some(backend) => backend.endpoints.push(endpoint),
                    None => ingress
                        .backends
                        .push(Backend { name: format!("app{index}"), endpoints: vec![endpoint] }),
                }
            }
        }
        (network, ingress)
    }

    #[test]
    fn what_is_on_a_host_that_is_left_gets_no_traffic() {
        let (network, ingress) = table(&[&[0, 1], &[1]]);
        let away = hosts(&[1]);
        let seen = super::network(&network, &away);
        assert_eq!(seen.services[0].endpoints.len(), 1);
        assert_eq!(seen.services[0].endpoints[0].ip(), &Ipv4Addr::new(10, 128, 0, 2));
        // All of the second app are there: better a try than nothing.
        assert_eq!(seen.services[1], network.services[1]);
        assert_eq!((seen.hosts, seen.generation), (network.hosts.clone(), network.generation));
        let seen = super::ingress(&ingress, &network.hosts, &away);
        let counts: Vec<usize> = seen.backends.iter().map(|it| it.endpoints.len()).collect();
        assert_eq!(counts, [1, 1]);
    }

    proptest! {
        #[test]
        fn who_had_endpoints_keeps_some_and_gets_none_of_others(
            on in proptest::collection::vec(proptest::collection::btree_set(0..6_u8, 1..5), 1..4),
            away in proptest::collection::btree_set(0..6_u8, 0..6),
        ) {
            let on: Vec<Vec<u8>> = on.into_iter().map(|it| it.into_iter().collect()).collect();
            let on: Vec<&[u8]> = on.iter().map(Vec::as_slice).collect();
            let (network, ingress) = table(&on);
            let away = hosts(&away.into_iter().collect::<Vec<_>>());
            let seen = super::network(&network, &away);
            for (before, after) in network.services.iter().zip(&seen.services) {
                prop_assert!(!after.endpoints.is_empty());
                prop_assert!(after.endpoints.iter().all(|it| before.endpoints.contains(it)));
                let known = |ip: &Ipv4Addr| seen.instances.iter().any(|it| it.address == *ip);
                prop_assert!(after.endpoints.iter().all(|it| known(it.ip())));
            }
            let seen = super::ingress(&ingress, &network.hosts, &away);
            prop_assert!(seen.backends.iter().all(|it| !it.endpoints.is_empty()));
            prop_assert_eq!(super::network(&network, &BTreeSet::new()), network);
        }
    }
}
