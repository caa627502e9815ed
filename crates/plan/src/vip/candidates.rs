//! Who may hold an address, with priorities: what servers publish. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::host::{Host, HostState};
use api::network::{Vip, VipCandidate};
use api::vip::VirtualAddress;

/// The priority of the most preferred host; the next has one less.
const PREFERRED: u8 = 250;
/// The priority of the first host that nobody preferred by name.
const OTHERS: u8 = 100;

/// The addresses as they are published, sorted; those that nobody may hold are left out.
#[must_use]
pub fn published<'a>(
    vips: impl IntoIterator<Item = &'a VirtualAddress>,
    hosts: &[&Host],
) -> Vec<Vip> {
    let vips = vips.into_iter().map(|vip| Vip {
        address: vip.address,
        preempt: vip.choice.take_back,
        candidates: candidates(vip, hosts),
    });
    let mut vips: Vec<Vip> = vips.filter(|vip| !vip.candidates.is_empty()).collect();
    vips.sort_by_key(|vip| vip.address);
    vips
}

/// Who may hold an address, sorted by name, at most [`Vip::MAX_CANDIDATES`].
///
/// Those preferred by name go first. The others follow in an order that differs between addresses,
/// so that several addresses of a segment are held by several hosts; where there are too many,
/// those of other failure domains are taken first. A host that is being drained is none while there
/// is another. Whether a host is dead plays no part: its hosts know better, and at once.
#[must_use]
pub fn candidates(vip: &VirtualAddress, hosts: &[&Host]) -> Vec<VipCandidate> {
    let may: Vec<&Host> = hosts.iter().copied().filter(|host| vip.may_be_held_by(host)).collect();
    let ready = |host: &&&Host| host.state == HostState::Ready;
    let mut chosen: Vec<&Host> = may.iter().filter(ready).copied().collect();
    if chosen.is_empty() {
        chosen = may;
    }
    let preferred = |host: &Host| vip.choice.prefer.iter().position(|name| *name == host.name);
    chosen.sort_by_key(|host| {
        let place = preferred(host).unwrap_or(usize::MAX);
        (place, Reverse(weight(vip.address, host)), host.name.clone())
    });
    let first = chosen.iter().take_while(|host| preferred(host).is_some()).count();
    let others = chosen.split_off(first);
    chosen.extend(spread(others));
    chosen.truncate(Vip::MAX_CANDIDATES);
    let mut priority = OTHERS;
    let mut candidates = Vec::with_capacity(chosen.len());
    for host in chosen {
        let own = match preferred(host).and_then(|place| u8::try_from(place).ok()) {
            Some(place) => PREFERRED.saturating_sub(place).max(OTHERS + 1),
            None => {
                priority -= 1;
                priority + 1
            }
        };
        let (host, address) = (host.name.clone(), host.address);
        candidates.push(VipCandidate { host, address, priority: own });
    }
    candidates.sort_by(|a, b| a.host.cmp(&b.host));
    candidates
}

/// The same hosts, each domain's first before any domain's second.
fn spread(hosts: Vec<&Host>) -> Vec<&Host> {
    let mut seen: BTreeMap<&api::host::DomainPath, usize> = BTreeMap::new();
    let mut rounds: Vec<(usize, &Host)> = Vec::with_capacity(hosts.len());
    for host in hosts {
        let round = seen.entry(&host.domain).or_default();
        rounds.push((*round, host));
        *round += 1;
    }
    rounds.sort_by_key(|(round, _)| *round);
    rounds.into_iter().map(|(_, host)| host).collect()
}

/// How much a host is meant to hold an address: the same for ever, evenly distributed (FNV-1a by
/// Fowler, Noll and Vo, and the finalizer of `SplitMix64`).
fn weight(address: Ipv4Addr, host: &Host) -> u64 {
    let bytes = address.octets().into_iter().chain(host.name.as_str().bytes());
    let z = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use api::id::HostId;
    use api::time::Timestamp;
    use api::vip::VipChoice;
    use proptest::prelude::*;

    use super::*;

    fn host(number: u8) -> Host {
        Host {
            name: HostId::new(format!("h{number}")).unwrap(),
            domain: format!("hv-{}", number % 4).parse().unwrap(),
            labels: BTreeMap::from([("ingress".to_owned(), "true".to_owned())]),
            subnet: format!("10.128.{number}.0/24").parse().unwrap(),
            address: Ipv4Addr::new(10, 0, 0, number),
            state: HostState::Ready,
            joined: Timestamp(0),
            down_since: None,
        }
    }

    fn vip(last: u8) -> VirtualAddress {
        VirtualAddress {
            address: Ipv4Addr::new(10, 0, 0, last),
            segment: "10.0.0.0/24".parse().unwrap(),
            choice: VipChoice::default(),
            created: Timestamp(0),
        }
    }

    fn names(vip: &VirtualAddress, hosts: &[Host]) -> Vec<String> {
        let hosts: Vec<&Host> = hosts.iter().collect();
        candidates(vip, &hosts).into_iter().map(|c| c.host.to_string()).collect()
    }

    fn best(vip: &VirtualAddress, hosts: &[Host]) -> String {
        let hosts: Vec<&Host> = hosts.iter().collect();
        let all = candidates(vip, &hosts);
        all.into_iter().max_by_key(|c| c.priority).unwrap().host.to_string()
    }

    #[test]
    fn only_ingress_hosts_of_the_segment_that_are_chosen() {
        let mut hosts: Vec<Host> = (1..=5).map(host).collect();
        hosts[0].labels.clear();
        hosts[1].address = Ipv4Addr::new(10, 0, 1, 2);
        hosts[2].labels.insert("edge".into(), "yes".into());
        assert_eq!(names(&vip(100), &hosts), ["h3", "h4", "h5"]);
        let mut some = vip(100);
        some.choice.labels.insert("edge".into(), "yes".into());
        assert_eq!(names(&some, &hosts), ["h3"]);
        some.choice = VipChoice { hosts: vec!["h1".parse().unwrap()], ..VipChoice::default() };
        assert_eq!(names(&some, &hosts), [""; 0]);
        assert_eq!(published([&some, &vip(101)], &hosts.iter().collect::<Vec<_>>()).len(), 1);
    }

    #[test]
    fn a_drained_host_holds_nothing_while_another_can() {
        let mut hosts: Vec<Host> = (1..=2).map(host).collect();
        hosts[0].state = HostState::Draining;
        assert_eq!(names(&vip(100), &hosts), ["h2"]);
        hosts[1].state = HostState::Draining;
        assert_eq!(names(&vip(100), &hosts), ["h1", "h2"]);
        // The dead are not forgotten: who is dead is for the others to find.
        for host in &mut hosts {
            host.state = HostState::Ready;
            host.down_since = Some(Timestamp(1));
        }
        assert_eq!(names(&vip(100), &hosts), ["h1", "h2"]);
    }

    #[test]
    fn several_addresses_are_held_by_several_hosts() {
        let hosts: Vec<Host> = (1..=4).map(host).collect();
        let holders: BTreeSet<String> = (100..120).map(|last| best(&vip(last), &hosts)).collect();
        assert_eq!(holders.len(), 4, "{holders:?}");
    }

    #[test]
    fn of_too_many_each_failure_domain_has_some() {
        let hosts: Vec<Host> = (1..=40).map(host).collect();
        let hosts: Vec<&Host> = hosts.iter().collect();
        let chosen = candidates(&vip(100), &hosts);
        assert_eq!(chosen.len(), Vip::MAX_CANDIDATES);
        let domain = |name: &HostId| hosts.iter().find(|h| h.name == *name).unwrap().domain.clone();
        let mut count: BTreeMap<_, usize> = BTreeMap::new();
        for candidate in &chosen {
            *count.entry(domain(&candidate.host)).or_default() += 1;
        }
        assert_eq!(count.into_values().collect::<Vec<_>>(), [2, 2, 2, 2]);
    }

    proptest! {
        #[test]
        fn the_preferred_come_first_in_their_order_and_priorities_differ(
            prefer in Just((1u8..=12).collect::<Vec<_>>()).prop_shuffle(),
            count in 0usize..10,
        ) {
            let hosts: Vec<Host> = (1..=12).map(host).collect();
            let mut it = vip(100);
            let names = prefer.iter().take(count).map(|n| format!("h{n}").parse().unwrap());
            it.choice.prefer = names.collect();
            let refs: Vec<&Host> = hosts.iter().collect();
            let mut chosen = candidates(&it, &refs);
            prop_assert_eq!(chosen.len(), Vip::MAX_CANDIDATES);
            chosen.sort_by_key(|candidate| Reverse(candidate.priority));
            let order: Vec<HostId> = chosen.iter().map(|c| c.host.clone()).collect();
            let wanted = count.min(Vip::MAX_CANDIDATES);
            prop_assert_eq!(&order[..wanted], &it.choice.prefer[..wanted]);
            let different: BTreeSet<u8> = chosen.iter().map(|c| c.priority).collect();
            prop_assert_eq!(different.len(), chosen.len());
        }
    }
}
