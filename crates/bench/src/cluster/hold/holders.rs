//! Who has a virtual address: read from the machines' own network namespaces.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::watch::Watch;
use crate::cluster::client::{Nanos, now};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From then on these machines had the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Had {
    /// When that was seen.
    pub(super) at: Nanos,
    /// Who.
    pub(super) by: BTreeSet<String>,
}

/// Watches an address on machines, each by the id of a process on it.
pub(super) fn watch(machines: Vec<(String, u32)>, address: Ipv4Addr) -> Watch<Had> {
    let mut last = None;
    Watch::every(LOOK_EVERY, move || {
        let has = |pid: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/net/fib_trie"));
            text.is_ok_and(|text| holds(&text, address))
        };
        let holders = machines.iter().filter(|(_, pid)| has(pid));
        let by: BTreeSet<String> = holders.map(|(name, _)| name.clone()).collect();
        if last.as_ref() == Some(&by) {
            return Vec::new();
        }
        last = Some(by.clone());
        vec![Had { at: now(), by }]
    })
}

/// How often the holders changed up to a moment.
pub(super) fn changes(had: &[Had], until: Nanos) -> usize {
    had.iter().filter(|had| had.at < until).count().saturating_sub(1)
}

/// Whether an address is a machine's own, by its table of routes (`/proc/PID/net/fib_trie`).
fn holds(table: &str, address: Ipv4Addr) -> bool {
    let leaf = format!("|-- {address}");
    let mut lines = table.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line == leaf && lines.clone().take(2).any(|next| next == "/32 host LOCAL") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.64.0.0\n        /24 link \
                         UNICAST\n     |-- 10.64.0.25\n        /32 host LOCAL\n     |-- \
                         10.64.0.255\n        /32 link BROADCAST\n";

    #[test]
    fn own_addresses_are_local_ones() {
        let of = |text: &str| holds(TABLE, text.parse().unwrap());
        assert!(of("10.64.0.25"));
        assert!(!of("10.64.0.2") && !of("10.64.0.250") && !of("10.64.0.255") && !of("10.64.0.0"));
        assert!(holds(&std::fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default(), {
            Ipv4Addr::LOCALHOST
        }));
    }

    #[test]
    fn the_first_is_no_change() {
        let had = |at, by: &[&str]| Had { at, by: by.iter().map(|it| (*it).to_owned()).collect() };
        let all = [had(1, &["a"]), had(5, &[]), had(7, &["b"])];
        assert_eq!((changes(&all, 4), changes(&all, 6), changes(&all, 9)), (0, 1, 2));
        assert_eq!(changes(&[], 9), 0);
    }
}
