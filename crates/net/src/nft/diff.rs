//! From one rule set to another by elements: what to delete, what to add, as a script.
//!
//! Pure. A service's endpoints are numbered in their order, so the elements of a rule set depend on
//! nothing but its value and a chain of differences ends where a full load does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::element::{Key, Set, Value, spread};
use super::render::{render_full, spread_chain};
use super::ruleset::{Endpoint, Group, Instance, Ruleset, ServiceAddress};
use crate::Slug;

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

/// Keys by their set.
pub(super) type Deleted = BTreeMap<Set, Vec<Key>>;
/// Keys by their set, with their values in maps.
pub(super) type Added = BTreeMap<Set, Vec<(Key, Option<Value>)>>;

/// The difference between two rule sets of the same base.
#[derive(Debug, Default)]
pub(super) struct Changes {
    deleted: Deleted,
    added: Added,
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
                let value = |group: &Group| Some(Value::Group(*group));
                changes.entry(
                    Set::Groups,
                    Key::Address(*address),
                    before.map(value),
                    after.map(value),
                );
            }
        });
        changes.members(Set::Beyond, &old.beyond(), &new.beyond(), |subnet| Key::Subnet(*subnet));
        let peer = |(address, subnet): &(_, _)| Key::Peer(*address, *subnet);
        changes.members(Set::Peers, &old.peers(), &new.peers(), peer);
        let pair = |(from, to): &(_, _)| Key::Pair(*from, *to);
        changes.members(Set::Pairs, &old.allowed, &new.allowed, pair);
        let open = |(protocol, port): &(_, _)| Key::HostPort(*protocol, *port);
        changes.members(Set::HostPorts, &old.host_ports, &new.host_ports, open);
        changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.added.is_empty()
    }

    /// How many elements are deleted or added.
    pub(super) fn len(&self) -> usize {
        let deleted: usize = self.deleted.values().map(Vec::len).sum();
        deleted + self.added.values().map(Vec::len).sum::<usize>()
    }

    /// What is deleted and then what is added, where nothing but elements changes.
    pub(super) fn elements(&self) -> Option<(&Deleted, &Added)> {
        let only = self.chains_deleted.is_empty() && self.chains_added.is_empty();
        only.then_some((&self.deleted, &self.added))
    }

    fn service(
        &mut self,
        service: ServiceAddress,
        before: &BTreeSet<Endpoint>,
        after: &BTreeSet<Endpoint>,
    ) {
        let chain = |count: usize| (count > 0).then_some(Some(Value::Spread(count)));
        let key = Key::Service(service);
        self.entry(Set::Services, key, chain(before.len()), chain(after.len()));
        let (mut old, mut new) = (before.iter(), after.iter());
        for slot in (0_u32..).take(before.len().max(after.len())) {
            let value = |endpoint: &Endpoint| Some(Value::Endpoint(*endpoint));
            let (before, after) = (old.next().map(value), new.next().map(value));
            self.entry(Set::Endpoints, Key::Slot(service, slot), before, after);
        }
    }

    fn instance(&mut self, address: Ipv4Addr, before: Option<&Instance>, after: Option<&Instance>) {
        let group = |instance: Option<&Instance>| {
            instance.map(|instance| Some(Value::Group(instance.group)))
        };
        self.entry(Set::Groups, Key::Address(address), group(before), group(after));
        let confined = |instance: Option<&Instance>| {
            instance.filter(|instance| !instance.egress).map(|_| None)
        };
        self.entry(Set::Confined, Key::Address(address), confined(before), confined(after));
        for (set, key) in [(Set::Own, Key::Own(address)), (Set::Ports, Key::Port(address))] {
            self.entry(set, key, before.map(|_| None), after.map(|_| None));
        }
    }

    /// One element that is or is not there, with the value it has in a map.
    fn entry(
        &mut self,
        set: Set,
        key: Key,
        before: Option<Option<Value>>,
        after: Option<Option<Value>>,
    ) {
        if before == after {
            return;
        }
        if before.is_some() {
            self.deleted.entry(set).or_default().push(key);
        }
        if let Some(value) = after {
            self.added.entry(set).or_default().push((key, value));
        }
    }

    fn members<T: Ord>(
        &mut self,
        set: Set,
        before: &BTreeSet<T>,
        after: &BTreeSet<T>,
        key: impl Fn(&T) -> Key,
    ) {
        for gone in before.difference(after) {
            self.deleted.entry(set).or_default().push(key(gone));
        }
        for come in after.difference(before) {
            self.added.entry(set).or_default().push((key(come), None));
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
                let keys = list(keys, ToString::to_string);
                line(format_args!("delete element inet {table} {} {{ {keys} }}", set.name()));
            }
        }
        for count in &self.chains_deleted {
            line(format_args!("delete chain inet {table} {}", spread(*count)));
        }
        for count in &self.chains_added {
            line(format_args!("table inet {table} {{\n{}}}", spread_chain(*count)));
        }
        for (set, elements) in &self.added {
            for elements in elements.chunks(PER_STATEMENT) {
                let elements = list(elements, |(key, value)| match value {
                    Some(value) => format!("{key} : {value}"),
                    None => key.to_string(),
                });
                line(format_args!("add element inet {table} {} {{ {elements} }}", set.name()));
            }
        }
    }
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
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
