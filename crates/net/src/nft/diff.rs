//! From one rule set to another by elements: what to delete, what to add, as a script.
//!
//! Pure. A service's endpoints are numbered in their order, so the elements of a rule set depend on
//! nothing but its value and a chain of differences ends where a full load does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::render::render_full;
use super::ruleset::{Endpoint, Group, Instance, Ruleset, ServiceAddress};
use crate::Slug;
use crate::slug::port_name;

/// Elements per statement: bounds the length of a line (60 bytes each, so about 60 KiB).
const PER_STATEMENT: usize = 1000;

/// The script that turns a loaded `old` into `new` in one transaction; `None` when there is nothing
/// to do. Where the bases differ it is a full load.
#[must_use]
pub fn diff(old: &Ruleset, new: &Ruleset) -> Option<String> {
    if old.base != new.base {
        let mut script = String::new();
        if old.base.slug != new.base.slug {
            script = super::render_removal(&old.base.slug);
        }
        return Some(script + &render_full(new));
    }
    let changes = Changes::between(old, new);
    if changes.is_empty() {
        return None;
    }
    let mut script = String::new();
    changes.render(&mut script, &new.base.slug);
    Some(script)
}

/// A set or map of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    Services,
    Endpoints,
    Groups,
    Pairs,
    Own,
    Confined,
    HostPorts,
    Ports,
    Beyond,
    Peers,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Endpoints => "endpoints",
            Self::Groups => "groups",
            Self::Pairs => "pairs",
            Self::Own => "own",
            Self::Confined => "confined",
            Self::HostPorts => "host_ports",
            Self::Ports => "ports",
            Self::Beyond => "beyond",
            Self::Peers => "peers",
        }
    }
}

/// The difference between two rule sets of the same base.
#[derive(Debug, Default)]
pub(super) struct Changes {
    deleted: BTreeMap<Set, Vec<String>>,
    added: BTreeMap<Set, Vec<String>>,
    chains_deleted: Vec<usize>,
    chains_added: Vec<usize>,
}

impl Changes {
    pub(super) fn between(old: &Ruleset, new: &Ruleset) -> Self {
        let (before, after) = (old.spreads(), new.spreads());
        let mut changes = Self {
            chains_deleted: before.difference(&after).copied().collect(),
            chains_added: after.difference(&before).copied().collect(),
            ..Self::default()
        };
        let none = BTreeSet::new();
        each_change(&old.services, &new.services, |service, before, after| {
            changes.service(*service, before.unwrap_or(&none), after.unwrap_or(&none));
        });
        each_change(&old.instances, &new.instances, |address, before, after| {
            changes.instance(*address, before, after);
        });
        let home = new.base.subnet;
        each_change(&old.elsewhere, &new.elsewhere, |address, before, after| {
            if !home.contains(address) {
                let text = |group: &Group| format!("{address} : {}", group.number());
                let before = before.map(text);
                changes.entry(Set::Groups, &address.to_string(), before.as_ref(), after.map(text));
            }
        });
        changes.members(Set::Beyond, &old.beyond(), &new.beyond(), ToString::to_string);
        changes.members(Set::Peers, &old.peers(), &new.peers(), |(address, subnet)| {
            format!("{address} . {subnet:#08x}")
        });
        let pairs = |(from, to): &(_, _)| pair(*from, *to);
        changes.members(Set::Pairs, &old.allowed, &new.allowed, pairs);
        let open = |(protocol, port): &(_, _)| format!("{protocol} . {port}");
        changes.members(Set::HostPorts, &old.host_ports, &new.host_ports, open);
        changes
    }

    fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.added.is_empty()
    }

    fn service(
        &mut self,
        service: ServiceAddress,
        before: &BTreeSet<Endpoint>,
        after: &BTreeSet<Endpoint>,
    ) {
        let ServiceAddress { address, protocol, port } = service;
        let key = format!("{address} . {protocol} . {port}");
        let chain = |count: usize| (count > 0).then(|| format!("{key} : goto {}", spread(count)));
        self.entry(Set::Services, &key, chain(before.len()).as_ref(), chain(after.len()));
        let (mut old, mut new) = (before.iter(), after.iter());
        for slot in 0..before.len().max(after.len()) {
            let key = format!("{key} . {slot}");
            let entry = |endpoint: Option<&Endpoint>| {
                endpoint.map(|to| format!("{key} : {} . {}", to.ip(), to.port()))
            };
            self.entry(Set::Endpoints, &key, entry(old.next()).as_ref(), entry(new.next()));
        }
    }

    fn instance(&mut self, address: Ipv4Addr, before: Option<&Instance>, after: Option<&Instance>) {
        let key = address.to_string();
        let group = |instance: Option<&Instance>| {
            instance.map(|instance| format!("{key} : {}", instance.group.number()))
        };
        self.entry(Set::Groups, &key, group(before).as_ref(), group(after));
        let confined = |instance: Option<&Instance>| {
            instance.filter(|instance| !instance.egress).map(|_| key.clone())
        };
        self.entry(Set::Confined, &key, confined(before).as_ref(), confined(after));
        for (set, key) in [
            (Set::Own, format!("{address} . {address}")),
            (Set::Ports, format!("\"{}\" . {address}", port_name(address))),
        ] {
            self.entry(set, &key, before.map(|_| &key), after.map(|_| key.clone()));
        }
    }

    /// One element: deleted by its key, added as its whole text.
    fn entry(&mut self, set: Set, key: &str, before: Option<&String>, after: Option<String>) {
        if before == after.as_ref() {
            return;
        }
        if before.is_some() {
            self.deleted.entry(set).or_default().push(key.to_owned());
        }
        if let Some(text) = after {
            self.added.entry(set).or_default().push(text);
        }
    }

    fn members<T: Ord>(
        &mut self,
        set: Set,
        before: &BTreeSet<T>,
        after: &BTreeSet<T>,
        text: impl Fn(&T) -> String,
    ) {
        for gone in before.difference(after) {
            self.deleted.entry(set).or_default().push(text(gone));
        }
        for come in after.difference(before) {
            self.added.entry(set).or_default().push(text(come));
        }
    }

    /// Writes the script. Elements go before the chains they lead to and come after them.
    pub(super) fn render(&self, script: &mut String, slug: &Slug) {
        let table = slug.table();
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(script, "{text}");
        };
        for (set, keys) in &self.deleted {
            for keys in keys.chunks(PER_STATEMENT) {
                let (name, keys) = (set.name(), keys.join(", "));
                line(format_args!("delete element inet {table} {name} {{ {keys} }}"));
            }
        }
        for count in &self.chains_deleted {
            line(format_args!("delete chain inet {table} {}", spread(*count)));
        }
        for count in &self.chains_added {
            let chain = spread(*count);
            line(format_args!("add chain inet {table} {chain}"));
            line(format_args!(
                "add rule inet {table} {chain} meta mark set numgen random mod {count}"
            ));
            line(format_args!(
                "add rule inet {table} {chain} \
                 dnat ip to ip daddr . meta l4proto . th dport . meta mark map @endpoints"
            ));
        }
        for (set, elements) in &self.added {
            for elements in elements.chunks(PER_STATEMENT) {
                let (name, elements) = (set.name(), elements.join(", "));
                line(format_args!("add element inet {table} {name} {{ {elements} }}"));
            }
        }
    }
}

/// Name of the chain for services with so many endpoints.
fn spread(count: usize) -> String {
    format!("spread_{count}")
}

fn pair(from: Group, to: Group) -> String {
    format!("{} . {}", from.number(), to.number())
}

/// Calls `change` for every key whose value differs, walking both maps once.
fn each_change<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    mut change: impl FnMut(&K, Option<&V>, Option<&V>),
) {
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return,
        };
        let left = if order.is_le() { before.next() } else { None };
        let right = if order.is_ge() { after.next() } else { None };
        let (old, new) = (left.map(|(_, value)| value), right.map(|(_, value)| value));
        if let Some((key, _)) = left.or(right).filter(|_| old != new) {
            change(key, old, new);
        }
    }
}
