//! Who does not hear whom although servers hear both: not a dead host, but something between two
//! machines, most often a firewall.

use api::id::HostId;
use api::server::WayBack;

use super::{Evidence, Observer};

/// An observer that gets no answers of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// Who asks.
    pub observer: Observer,
    /// Who does not answer it.
    pub host: HostId,
    /// Where it is asked.
    pub at: std::net::SocketAddr,
    /// Whether the host gets answers of the observer, where it is one that is asked.
    pub back: WayBack,
}

/// All pairs of which one gets no answers while servers hear both, and how many pairs were looked
/// at: an observer whose word is old, late or to another list says nothing of the present.
#[must_use]
pub fn unheard(evidence: &Evidence) -> (u32, Vec<Unheard>) {
    let (mut pairs, mut found) = (0, Vec::new());
    for (observer, list) in evidence.lists {
        for target in &list.targets {
            let Some(silent) = finds_silent(evidence, observer, &target.host) else { continue };
            let seen = evidence.hosts.get(&target.host);
            let heard = seen.is_some_and(|seen| is_fresh(evidence, seen.heard));
            if !heard {
                continue;
            }
            pairs += 1;
            if silent {
                let back = way_back(evidence, observer, &target.host);
                let (observer, host) = (observer.clone(), target.host.clone());
                found.push(Unheard { observer, host, at: target.address, back });
            }
        }
    }
    (pairs, found)
}

fn is_fresh(evidence: &Evidence, heard: crate::restart::Moment) -> bool {
    evidence.now.since(heard) < evidence.times.suspect
}

/// Whether an observer finds a host silent; none when it does not ask, or its word is worth
/// nothing. That it hears nobody else does not matter here.
fn finds_silent(evidence: &Evidence, observer: &Observer, host: &HostId) -> Option<bool> {
    let (list, word) = (evidence.lists.get(observer)?, evidence.words.get(observer)?);
    let asks = list.targets.iter().any(|target| target.host == *host);
    let observed = &word.observed;
    let counts = observed.votes && observed.generation == list.generation;
    (asks && counts && is_fresh(evidence, word.heard)).then(|| {
        let long = |silent: api::unit::Millis| silent >= evidence.times.down;
        observed.silent.iter().any(|silence| silence.host == *host && long(silence.silent))
    })
}

fn way_back(evidence: &Evidence, observer: &Observer, host: &HostId) -> WayBack {
    let Observer::Host(asker) = observer else { return WayBack::Unknown };
    match finds_silent(evidence, &Observer::Host(host.clone()), asker) {
        None => WayBack::Unknown,
        Some(true) => WayBack::Silent,
        Some(false) => WayBack::Heard,
    }
}
