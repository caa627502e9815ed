//! Which addresses instances and services get. The lowest free one is taken, so that equal inputs
//! give equal plans; an address that was given back goes to nobody else for [`COOL_OFF`].

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::assignment::{Assignment, Cooling, Entry};
use api::id::{AppName, EnvironmentName};
use api::time::Timestamp;
use api::unit::Millis;
use ipnet::Ipv4Net;

/// How long an address is kept from other apps after it was given back: longer than clients keep
/// names (5 s) and than the kernel keeps idle half-closed connections (120 s).
pub const COOL_OFF: Millis = Millis::secs(300);

/// How many instances a subnet has addresses for: all but network, gateway and broadcast.
#[must_use]
pub fn room(subnet: Ipv4Net) -> u32 {
    (1u32 << (32 - subnet.prefix_len().clamp(8, 32))).saturating_sub(3)
}

/// The addresses of a subnet that instances may have, ascending: not the network's own, not the
/// gateway's (the first) and not the broadcast's.
fn usable(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(subnet.network());
    let last = u32::from(subnet.broadcast());
    (first.saturating_add(2)..last).map(Ipv4Addr::from)
}

/// The lowest address of the host's subnet that `app` may have now.
#[must_use]
pub fn free_address(
    subnet: Ipv4Net,
    assignment: &Assignment,
    (environment, app): (&EnvironmentName, &AppName),
    now: Timestamp,
) -> Option<Ipv4Addr> {
    let used: BTreeSet<Ipv4Addr> = assignment.entries.iter().map(|e| e.address).collect();
    let cooling: BTreeSet<Ipv4Addr> = assignment
        .cooling
        .iter()
        .filter(|c| c.until > now && (&c.environment, &c.app) != (environment, app))
        .map(|c| c.address)
        .collect();
    usable(subnet).find(|address| !used.contains(address) && !cooling.contains(address))
}

/// Notes that an entry's address was given back, and forgets those whose time is over.
pub fn give_back(cooling: &mut Vec<Cooling>, entry: &Entry, now: Timestamp) {
    cooling.retain(|c| c.until > now && c.address != entry.address);
    cooling.push(Cooling {
        address: entry.address,
        app: entry.app.clone(),
        environment: entry.environment.clone(),
        until: now.after(COOL_OFF),
    });
    cooling.sort_unstable();
}

/// The lowest address of the service range that no app has.
#[must_use]
pub fn free_service_address(range: Ipv4Net, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    usable(range).find(|address| !used.contains(address))
}

#[cfg(test)]
mod tests {
    use api::assignment::Wanted;
    use api::id::{Generation, HostId, InstanceId, ReleaseNumber};

    use super::*;

    fn entry(app: &str, number: u64, address: Ipv4Addr) -> Entry {
        let app = AppName::new(app).unwrap();
        let environment = EnvironmentName::new("production").unwrap();
        Entry {
            instance: InstanceId::compose(&app, &environment, number),
            app,
            environment,
            release: ReleaseNumber(1),
            wanted: Wanted::Run,
            address,
            replaces: None,
            epoch: 0,
        }
    }

    #[test]
    fn a_small_subnet_is_used_up_without_its_special_addresses() {
        let subnet: Ipv4Net = "10.128.3.0/29".parse().unwrap();
        let mut assignment = Assignment::empty(HostId::new("h").unwrap());
        assert_eq!(assignment.generation, Generation(0));
        let mut given = Vec::new();
        for number in 0.. {
            let place = entry("a", number, Ipv4Addr::UNSPECIFIED);
            let who = (&place.environment, &place.app);
            let Some(address) = free_address(subnet, &assignment, who, Timestamp(0)) else { break };
            given.push(address.octets()[3]);
            assignment.entries.push(entry("a", number, address));
        }
        assert_eq!(given, [2, 3, 4, 5, 6]);
        assert_eq!(room(subnet), 5);
        assert_eq!(room("10.128.3.0/24".parse().unwrap()), 253);
    }

    #[test]
    fn an_address_cools_off_for_others_only() {
        let subnet: Ipv4Net = "10.128.3.0/29".parse().unwrap();
        let mut assignment = Assignment::empty(HostId::new("h").unwrap());
        let old = entry("a", 1, Ipv4Addr::new(10, 128, 3, 2));
        give_back(&mut assignment.cooling, &old, Timestamp(0));
        let other = entry("b", 2, Ipv4Addr::UNSPECIFIED);
        let get = |who: &Entry, now| {
            free_address(subnet, &assignment, (&who.environment, &who.app), Timestamp(now))
                .map(|address| address.octets()[3])
        };
        assert_eq!(get(&old, 1), Some(2));
        assert_eq!(get(&other, 1), Some(3));
        assert_eq!(get(&other, 299_999), Some(3));
        assert_eq!(get(&other, 300_000), Some(2));
    }
}
