//! The verdict on every host, from what servers hear and observers say.

use std::collections::BTreeMap;
use std::fmt;

use api::id::HostId;
use api::liveness::{Liveness, Observe, Observed, ProbeTimes};
use api::unit::Millis;

use super::Observer;
use crate::restart::Moment;

/// Everything that is known when it is judged; all moments are of the judge's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Now.
    pub now: Moment,
    /// All hosts of the cluster.
    pub hosts: &'a BTreeMap<HostId, HostEvidence>,
    /// Whom each observer is asked to probe.
    pub lists: &'a BTreeMap<Observer, Observe>,
    /// What each observer said last.
    pub words: &'a BTreeMap<Observer, Word>,
    /// When a host is taken for what.
    pub times: ProbeTimes,
}

/// What servers know of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostEvidence {
    /// When the newest frame of its stream came to any server; for one that was never heard, when
    /// the judge began to listen.
    pub heard: Moment,
    /// Whether it is taken for dead already.
    pub down: bool,
}

/// An observer's newest word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// When the newest frame of its stream came to any server: it would have said if anything had
    /// changed before that. Of the judge's own server, when that last showed that it runs.
    pub heard: Moment,
    /// What it said last.
    pub observed: Observed,
    /// Whether it is heard over a network, not on the machine of the server that hears it; never
    /// for the judge's own server.
    pub distant: bool,
}

/// What is believed of all hosts, and when to look again although nothing new is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdicts {
    /// One per host.
    pub hosts: BTreeMap<HostId, Verdict>,
    /// When a silence reaches its next mark.
    pub wake_at: Option<Moment>,
}

/// What is believed of a host and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What is believed.
    pub liveness: Liveness,
    /// Why.
    pub reason: Reason,
}

/// Why something is believed of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A server hears it.
    Heard,
    /// No server hears it, and no observer's word counts: nothing is known, nothing is done.
    NoWord {
        /// How long no server has heard it.
        unheard: Millis,
    },
    /// No server hears it; of the observers whose word counts, so many do and so many don't.
    Observers {
        /// How long no server has heard it.
        unheard: Millis,
        /// Observers that hear it.
        hear: u32,
        /// Observers to whom it is silent.
        silent: u32,
    },
    /// It is taken for dead; only a server that hears it ends that.
    StillDown {
        /// How long no server has heard it.
        unheard: Millis,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard => f.write_str("a server hears it"),
            Self::NoWord { unheard } => {
                write!(f, "no server has heard it for {unheard}, and no observer can tell why")
            }
            Self::Observers { unheard, hear, silent } => write!(
                f,
                "no server has heard it for {unheard}; {hear} of {} observers hear it",
                hear + silent
            ),
            Self::StillDown { unheard } => write!(f, "no server has heard it for {unheard}"),
        }
    }
}

/// Judges every host.
///
/// * A host that a server heard within [`ProbeTimes::suspect`] is alive.
/// * Else the observers decide whose word counts: a server hears them, their list is the newest,
///   their timer was in time, and they hear somebody. An observer with a single target hears nobody
///   when that one is silent; its word counts then if the stream that carries it crosses a network.
/// * More than half of them must have found silence, of [`ProbeTimes::suspect`] or
///   [`ProbeTimes::down`]; else the host is cut off, and so it is when no word counts.
/// * One that is taken for dead stays so until a server hears it: before, nothing could be told to
///   it anyway.
pub fn judge(evidence: &Evidence) -> Verdicts {
    let mut wake_at: Option<Moment> = None;
    let mut hosts = BTreeMap::new();
    for (host, seen) in evidence.hosts {
        let verdict = verdict(evidence, host, *seen);
        let times = [evidence.times.suspect, evidence.times.down];
        let marks = times.map(|mark| seen.heard.after(mark));
        let next = marks.into_iter().find(|mark| *mark > evidence.now);
        wake_at = [wake_at, next].into_iter().flatten().min();
        hosts.insert(host.clone(), verdict);
    }
    Verdicts { hosts, wake_at }
}

fn verdict(evidence: &Evidence, host: &HostId, seen: HostEvidence) -> Verdict {
    let times = evidence.times;
    let unheard = evidence.now.since(seen.heard);
    if unheard < times.suspect {
        return Verdict { liveness: Liveness::Alive, reason: Reason::Heard };
    }
    if seen.down {
        return Verdict { liveness: Liveness::Down, reason: Reason::StillDown { unheard } };
    }
    let words: Vec<Millis> = words_on(evidence, host).collect();
    if words.is_empty() {
        return Verdict { liveness: Liveness::CutOff, reason: Reason::NoWord { unheard } };
    }
    let majority = |mark: Millis| words.iter().filter(|s| **s >= mark).count() * 2 > words.len();
    let liveness = if unheard >= times.down && majority(times.down) {
        Liveness::Down
    } else if majority(times.suspect) {
        Liveness::Suspect
    } else {
        Liveness::CutOff
    };
    let silent = words.iter().filter(|silence| **silence >= times.suspect).count();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (hear, silent) = (count(words.len() - silent), count(silent));
    Verdict { liveness, reason: Reason::Observers { unheard, hear, silent } }
}

/// The silence that each observer found whose word on the host counts; zero for one that hears it.
fn words_on<'a>(evidence: &'a Evidence, host: &'a HostId) -> impl Iterator<Item = Millis> + 'a {
    evidence.words.iter().filter_map(move |(observer, word)| {
        let list = evidence.lists.get(observer)?;
        let asked = list.targets.binary_search_by(|target| target.host.cmp(host)).is_ok();
        let heard = evidence.now.since(word.heard) < evidence.times.suspect;
        (asked && heard && counts(list, word)).then(|| {
            let silent = word.observed.silent.iter().find(|silence| silence.host == *host);
            silent.map_or(Millis(0), |silence| silence.silent)
        })
    })
}

/// Whether an observer that is heard can tell its targets' silence from its own blindness.
fn counts(list: &Observe, word: &Word) -> bool {
    let observed = &word.observed;
    let silent = |host: &HostId| observed.silent.iter().any(|silence| silence.host == *host);
    let hears_one = list.targets.iter().any(|target| !silent(&target.host));
    let sees = hears_one || (list.targets.len() == 1 && word.distant);
    observed.generation == list.generation && observed.votes && sees
}
