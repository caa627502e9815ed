//! The scenarios: what each brings up, how often it is run, and what it must keep.

use std::time::Duration;

use crate::cluster::alone::Measure;
use crate::contest::Budget;

/// Something that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// All servers and their etcd are frozen, then dead for minutes.
    FailStatic,
    /// A host dies while all servers are frozen.
    StaticKill,
    /// No host reaches a server, but hosts reach each other.
    ControlCut,
    /// Packets get lost on all links between machines.
    Loss,
    /// One host is cut off from everything and comes back.
    CutOff,
    /// Everything loses power at once.
    ColdStart,
    /// A member of etcd dies under writes.
    EtcdLoss,
}

impl Hold {
    /// Its name, which rows begin with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FailStatic => "fail-static",
            Self::StaticKill => "static-kill",
            Self::ControlCut => "control-cut",
            Self::Loss => "loss-30",
            Self::CutOff => "cut-off",
            Self::ColdStart => "cold-start",
            Self::EtcdLoss => "etcd-loss",
        }
    }

    /// What `lab up` is told beside the number of servers and hosts.
    pub(super) fn shape(self) -> &'static [&'static str] {
        // Where servers stand on hosts, no link leads to a server alone.
        match self {
            Self::ControlCut => &["--hypervisors", "3", "--servers-apart"],
            _ => &["--hypervisors", "3"],
        }
    }

    /// How often it is run.
    pub(super) fn runs(self) -> usize {
        match self {
            Self::FailStatic => 1,
            Self::ControlCut => 3,
            Self::ColdStart => 5,
            Self::StaticKill | Self::Loss | Self::CutOff | Self::EtcdLoss => 10,
        }
    }

    /// Its rows. Budgets hold in every run.
    pub(super) fn measures(self) -> Vec<Measure> {
        let kept = |value, unit, limit| Measure::less(value, unit, &[Budget::EachAtMost(limit)]);
        let told = |value, unit| Measure::less(value, unit, &[]);
        let moves = || kept("moves", "containers", 0.0);
        let failed = || kept("failed", "requests", 0.0);
        match self {
            Self::FailStatic => vec![
                moves(),
                failed(),
                kept("failed-inside", "requests", 0.0),
                kept("unresolved", "look-ups", 0.0),
                told("restart", "ms"),
                kept("vip-changes", "times", 0.0),
                kept("vip-failed", "requests", 0.0),
                kept("vip-gap", "ms", 1500.0),
                told("failed-at-kill", "requests"),
                kept("last-failed-at-kill", "ms", 1000.0),
                told("replaced", "ms"),
                kept("needless", "containers", 0.0),
            ],
            Self::StaticKill => vec![
                told("failed", "requests"),
                kept("last-failed", "ms", 1000.0),
                kept("last-sent-there", "ms", 1000.0),
                kept("replaced", "ms", 3000.0),
                moves(),
            ],
            Self::ControlCut => vec![moves(), failed()],
            Self::Loss => vec![
                moves(),
                kept("downs", "times", 0.0),
                told("suspicions", "times"),
                told("failed", "requests"),
                told("failed-share", "%"),
            ],
            Self::CutOff => vec![
                kept("last-serving", "ms", 3000.0),
                kept("missing", "instances", 0.0),
                told("most-running", "containers"),
                kept("left-over", "containers", 0.0),
                told("failed", "requests"),
                told("last-failed", "ms"),
            ],
            Self::ColdStart => vec![
                told("first-serving", "ms"),
                told("all-serving", "ms"),
                kept("lost", "documents", 0.0),
            ],
            Self::EtcdLoss => vec![
                kept("lost-writes", "writes", 0.0),
                kept("pause", "ms", 3000.0),
                told("failed-writes", "writes"),
                moves(),
                failed(),
            ],
        }
    }
}

/// How long things last: fully, or only to try it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Only to try it.
    pub(super) quick: bool,
}

impl Pace {
    /// So many seconds, or so many to try it.
    pub(super) fn seconds(self, full: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.quick { quick } else { full })
    }
}
