//! Budgets: what a measure must keep, and by how much it is missed. Pure.

use serde::{Deserialize, Serialize};

use super::report::Row;

/// What a row's median must keep, or each of its runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Budget {
    /// At most this, in the row's unit.
    AtMost(f64),
    /// Each run at most this, in the row's unit (of 100 runs and more, 99 of 100).
    EachAtMost(f64),
    /// At least this, in the row's unit.
    AtLeast(f64),
    /// At most so many times this peer's median.
    TimesAtMost(&'static str, f64),
    /// At least so many times this peer's median.
    TimesAtLeast(&'static str, f64),
}

/// A budget beside what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The budget, for people.
    pub(crate) budget: String,
    /// Whether it is kept.
    pub(crate) met: bool,
    /// By how many percent of the limit it is missed; 0 when it is kept.
    pub(crate) missed_by_percent: f64,
}

impl Budget {
    /// None when the peer that it names was not measured.
    pub(crate) fn judge(self, row: &Row) -> Option<Verdict> {
        let theirs = |peer: &str| row.peers.get(peer).map(|peer| peer.median);
        let (limit, least, budget) = match self {
            Self::AtMost(limit) => (limit, false, format!("≤ {limit} {}", row.unit)),
            Self::EachAtMost(limit) => (limit, false, format!("each ≤ {limit} {}", row.unit)),
            Self::AtLeast(limit) => (limit, true, format!("≥ {limit} {}", row.unit)),
            Self::TimesAtMost(peer, times) => {
                (theirs(peer)? * times, false, format!("≤ {}× {peer}", short(times)))
            }
            Self::TimesAtLeast(peer, times) => {
                (theirs(peer)? * times, true, format!("≥ {}× {peer}", short(times)))
            }
        };
        let each = matches!(self, Self::EachAtMost(_));
        let ours = if each { row.freehold.p99 } else { row.freehold.median };
        let over = if least { limit - ours } else { ours - limit };
        let met = over <= 0.0;
        // Of a limit of nothing any miss is a whole one.
        let missed_by_percent = match limit {
            _ if met => 0.0,
            0.0 => 100.0,
            limit => over / limit * 100.0,
        };
        Some(Verdict { budget, met, missed_by_percent })
    }
}

/// A factor for people: `1.4`, and `1/9` where that is meant.
fn short(times: f64) -> String {
    if times > 0.0 && times < 1.0 && (1.0 / times).fract() == 0.0 {
        return format!("1/{}", 1.0 / times);
    }
    times.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Summary;

    fn row(ours: f64, theirs: f64) -> Row {
        let of = |median| Summary { median, p99: median, runs: 1 };
        let mut row = Row::new("x", "ms", of(ours));
        row.peers.insert("runc".to_owned(), of(theirs));
        row
    }

    #[test]
    fn budgets_are_kept_or_missed_by_so_much() {
        let judge = |budget: Budget, ours| {
            let verdict = budget.judge(&row(ours, 20.0)).unwrap();
            (verdict.met, verdict.missed_by_percent)
        };
        assert_eq!(judge(Budget::AtMost(25.0), 25.0), (true, 0.0));
        assert_eq!(judge(Budget::AtMost(25.0), 30.0), (false, 20.0));
        assert_eq!(judge(Budget::AtMost(0.0), 3.0), (false, 100.0));
        let mut one_bad = row(25.0, 20.0);
        one_bad.freehold.p99 = 50.0;
        assert!(Budget::AtMost(25.0).judge(&one_bad).unwrap().met);
        let verdict = Budget::EachAtMost(25.0).judge(&one_bad).unwrap();
        assert_eq!((verdict.met, verdict.missed_by_percent), (false, 100.0));
        assert_eq!(judge(Budget::AtLeast(95.0), 97.0), (true, 0.0));
        assert_eq!(judge(Budget::TimesAtMost("runc", 1.5), 30.0), (true, 0.0));
        assert_eq!(judge(Budget::TimesAtMost("runc", 1.5), 33.0), (false, 10.0));
        assert_eq!(judge(Budget::TimesAtLeast("runc", 1.0), 21.0), (true, 0.0));
        assert_eq!(judge(Budget::TimesAtLeast("runc", 1.0), 15.0), (false, 25.0));
    }

    #[test]
    fn a_budget_by_a_missing_peer_is_not_judged() {
        assert_eq!(Budget::TimesAtMost("crun", 1.4).judge(&row(1.0, 1.0)), None);
    }
}
