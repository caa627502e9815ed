//! Safe mode: when much is lost at once, it is rather a mistake or a disaster than a few machines,
//! and what is left must not be buried under replacements. Both follow from the documents and the
//! time alone, so that a new leader sees them as the last one did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::host::Host;
use api::id::HostId;
use api::time::Timestamp;
use api::unit::Millis;

use crate::restart::Moment;

/// Losses so close together are one event.
pub(super) const WINDOW: Millis = Millis::secs(30);

/// The span that the budget of replacements is for.
pub(super) const BUDGET_EVERY: Millis = Millis::secs(10);

/// The least that may be replaced in that span.
pub(super) const BUDGET_LEAST: u32 = 10;

/// That part of all instances may be replaced in that span: 5 %.
const BUDGET_PART: u32 = 20;

/// Much was lost at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeMode {
    /// When the first of the lost was taken for dead.
    pub since: Timestamp,
    /// The lost hosts.
    pub lost: BTreeSet<HostId>,
    /// The failure domains of the outermost level that are lost whole.
    pub domains: BTreeSet<String>,
}

/// Whether the cluster is in safe mode: more than a third of all hosts were taken for dead within
/// [`WINDOW`] and have not returned, and more than one whole failure domain: one of the outermost
/// level at which hosts differ is lost whole, and something beside it. Losses up to `accepted` have
/// been accepted by an operator and do not count.
#[must_use]
pub fn safe_mode(hosts: &BTreeMap<HostId, Host>, accepted: Option<Timestamp>) -> Option<SafeMode> {
    let domains = domains(hosts);
    let mut losses: Vec<(Timestamp, &HostId)> = hosts
        .values()
        .filter_map(|host| Some((host.down_since?, &host.name)))
        .filter(|(at, _)| accepted.is_none_or(|accepted| *at > accepted))
        .collect();
    losses.sort_unstable();
    losses.iter().enumerate().find_map(|(first, (since, _))| {
        let within = losses[first..].iter().take_while(|(at, _)| at.since(*since) <= WINDOW);
        let lost: BTreeSet<HostId> = within.map(|(_, host)| (*host).clone()).collect();
        if lost.len() * 3 <= hosts.len() {
            return None;
        }
        let whole = whole_domains(hosts, &domains, &lost);
        let held = whole.values().sum::<usize>();
        (!whole.is_empty() && (whole.len() > 1 || lost.len() > held)).then(|| SafeMode {
            since: *since,
            lost,
            domains: whole.into_keys().map(str::to_owned).collect(),
        })
    })
}

/// The hosts of each failure domain of the outermost level that has more than one; a host beyond
/// that level is a domain of its own.
fn domains(hosts: &BTreeMap<HostId, Host>) -> BTreeMap<&str, Vec<&HostId>> {
    let mut depth = 0;
    loop {
        let mut domains = BTreeMap::<&str, Vec<&HostId>>::new();
        for host in hosts.values() {
            let name = host.domain.levels().get(depth).map_or(host.name.as_str(), String::as_str);
            domains.entry(name).or_default().push(&host.name);
        }
        if domains.len() > 1 || domains.values().all(|hosts| hosts.len() <= 1) {
            return domains;
        }
        depth += 1;
    }
}

/// The domains that are down to their last host, with how many of those belong to this event.
fn whole_domains<'a>(
    hosts: &BTreeMap<HostId, Host>,
    domains: &BTreeMap<&'a str, Vec<&HostId>>,
    lost: &BTreeSet<HostId>,
) -> BTreeMap<&'a str, usize> {
    let down = |host: &&HostId| hosts.get(*host).is_some_and(Host::is_down);
    let whole = domains.iter().filter_map(|(name, members)| {
        let now = members.iter().filter(|host| lost.contains(**host)).count();
        (now > 0 && members.iter().all(down)).then_some((*name, now))
    });
    whole.collect()
}

/// How many instances may still be replaced in safe mode: 5 % of all, at least ten, in any
/// [`BUDGET_EVERY`]. Kept by whoever carries plans out.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    /// What was replaced when; at most one per plan of the last [`BUDGET_EVERY`].
    spent: VecDeque<(Moment, u32)>,
}

impl Budget {
    /// How many more may be replaced now, of so many instances in all.
    pub fn left(&mut self, instances: u32, now: Moment) -> u32 {
        self.spent.retain(|(at, _)| now.since(*at) < BUDGET_EVERY);
        let spent: u32 = self.spent.iter().map(|(_, n)| *n).sum();
        (instances / BUDGET_PART).max(BUDGET_LEAST).saturating_sub(spent)
    }

    /// Notes that so many were replaced.
    pub fn spend(&mut self, replaced: u32, now: Moment) {
        if replaced > 0 {
            self.spent.push_back((now, replaced));
        }
    }

    /// When there is more to spend again.
    #[must_use]
    pub fn more_at(&self) -> Option<Moment> {
        self.spent.front().map(|(at, _)| at.after(BUDGET_EVERY))
    }
}
