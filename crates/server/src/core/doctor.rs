//! What observers say, gathered: for the verdict on hosts, and for people who want to know which
//! machines do not hear each other.

use std::collections::BTreeMap;
use std::time::Duration;

use api::host::Host;
use api::id::{HostId, ServerId};
use api::liveness::{Observe, ProbeTimes};
use api::server::{NetProblem, NetReport, WayBack};
use plan::liveness::{Evidence, HostEvidence, Observer, Unheard, Word, unheard};
use plan::restart::Moment;

use super::{Core, Heard, View};

/// How long ago servers heard hosts, and what observers said.
pub struct Gleaned {
    /// Hosts.
    pub hosts: BTreeMap<HostId, HostEvidence>,
    /// Observers.
    pub words: BTreeMap<Observer, Word>,
}

impl Core {
    /// What is known of hosts and from observers, on a clock that shows `now`.
    #[must_use]
    pub fn glean(&self, view: &View, now: Moment) -> Gleaned {
        let gathered = &self.agents.gathered;
        let heard = gathered.evidence();
        let unheard = gathered.listening_for();
        let at = |age: Duration| {
            Moment(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
        };
        let hosts = view.hosts.values().map(|host| {
            let age = heard.get(&host.name).map_or(unheard, |heard| heard.age);
            (host.name.clone(), HostEvidence { heard: at(age), down: host.is_down() })
        });
        let hosts = hosts.collect();
        let word = |(host, heard): (HostId, Heard)| {
            let observed = heard.observed?;
            let word = Word { heard: at(heard.age), observed, distant: heard.distant };
            Some((Observer::Host(host), word))
        };
        let mut words: BTreeMap<Observer, Word> = heard.into_iter().filter_map(word).collect();
        for (server, heard) in gathered.servers(&self.servers.me) {
            let Some(observed) = heard.word.observed else { continue };
            let distant = self.is_elsewhere(view, &server);
            let word = Word { heard: at(heard.age), observed, distant };
            words.insert(Observer::Server(server), word);
        }
        Gleaned { hosts, words }
    }

    /// Which machines do not hear each other although servers hear them.
    #[must_use]
    pub fn net_report(&self) -> NetReport {
        let view = self.view();
        // Any moment from which ages reach back.
        let now = Moment(u64::MAX / 2);
        let gleaned = self.glean(&view, now);
        let (hosts, servers) = self.servers.published.observers();
        let (host, server) = (
            |(name, list): (HostId, Observe)| (Observer::Host(name), list),
            |(name, list): (ServerId, Observe)| (Observer::Server(name), list),
        );
        let lists: BTreeMap<Observer, Observe> =
            hosts.into_iter().map(host).chain(servers.into_iter().map(server)).collect();
        let times = lists.values().next().map_or_else(ProbeTimes::default, |list| list.times);
        let evidence =
            Evidence { now, hosts: &gleaned.hosts, lists: &lists, words: &gleaned.words, times };
        let (pairs, found) = unheard(&evidence);
        let address = |name: &HostId| view.hosts.get(name.as_str()).map(|row| &row.document.body);
        let problems = found.iter().filter(|one| !told_already(one));
        let problems = problems.map(|one| problem(one, address)).collect();
        NetReport { pairs, problems }
    }

    /// What of that concerns a host, for people.
    pub(super) fn unheard_by(&self, report: &NetReport, host: &HostId) -> Vec<String> {
        let own = format!("host {host}");
        let concerns = |one: &&NetProblem| one.to == *host || one.from == own;
        report.problems.iter().filter(concerns).map(|one| one.message.clone()).collect()
    }
}

/// Whether a pair that is silent both ways is named from the other side.
fn told_already(one: &Unheard) -> bool {
    let later = matches!(&one.observer, Observer::Host(name) if *name > one.host);
    one.back == WayBack::Silent && later
}

/// A pair in words. Both probe from the port on which they answer, so that a firewall that knows
/// connections lets answers pass: who gets none is kept out at the other's side.
fn problem<'a>(one: &Unheard, host: impl Fn(&HostId) -> Option<&'a Host>) -> NetProblem {
    let Unheard { observer, host: to, at, back } = one;
    let (port, from) = (at.port(), observer.to_string());
    let what = match back {
        WayBack::Silent => format!("{from} and host {to} do not hear each other"),
        WayBack::Heard => format!("{from} does not hear host {to}, which hears it"),
        WayBack::Unknown => format!("{from} does not hear host {to}"),
    };
    let message = format!("{what} (probes to udp {at}), though servers hear host {to}");
    let asker = match observer {
        Observer::Host(name) => host(name).map(|host| format!(" from {}", host.address)),
        Observer::Server(_) => None,
    };
    let asker = asker.unwrap_or_default();
    let hint = match back {
        WayBack::Silent => format!(
            "let udp {port} in on both, and udp 4789 (VXLAN) where instances' packets are \
             tunnelled; or look for a cut between them"
        ),
        WayBack::Heard | WayBack::Unknown => format!(
            "on host {to} let udp {port} in{asker}, and udp 4789 (VXLAN) where instances' packets \
             are tunnelled; nft list ruleset shows what refuses"
        ),
    };
    NetProblem { from, to: to.clone(), at: format!("udp {at}"), back: *back, message, hint }
}
