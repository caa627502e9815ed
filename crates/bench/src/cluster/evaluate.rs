//! From samples to figures. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Nanos, Sample};

/// What clients saw of a loss, in milliseconds after the silence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// The first answers of instances that were not there before, in order.
    pub(crate) replacements: Vec<f64>,
    /// The first good answer to a request that was sent after the silence.
    pub(crate) first_good: Option<f64>,
    /// When the last request was sent that failed; 0 when none did.
    pub(crate) last_failed: f64,
    /// How many failed.
    pub(crate) failed: usize,
    /// How many were sent.
    pub(crate) sent: usize,
    /// How often each way of failing occurred.
    pub(crate) causes: BTreeMap<String, usize>,
}

/// Milliseconds from one moment to a later one; negative when it was earlier.
pub(crate) fn milliseconds(from: Nanos, to: Nanos) -> f64 {
    let span = to.abs_diff(from);
    let span = std::time::Duration::from_nanos(span).as_secs_f64() * 1e3;
    if to < from { -span } else { span }
}

/// Evaluates what an open client saw since `silence`; `before` are the instances that were there.
pub(crate) fn seen(samples: &[Sample], silence: Nanos, before: &BTreeSet<String>) -> Seen {
    let mut first: BTreeMap<&str, Nanos> = BTreeMap::new();
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    let mut last_failed: f64 = 0.0;
    // One that was on its way when the silence came belongs to it.
    let concerned = samples.iter().filter(|sample| sample.ended >= silence);
    let mut sent = 0;
    for sample in concerned {
        sent += 1;
        match &sample.outcome {
            Ok(instance) if !before.contains(instance) => {
                let at = first.entry(instance).or_insert(sample.ended);
                *at = (*at).min(sample.ended);
            }
            Ok(_) => {}
            Err(cause) => {
                *causes.entry(cause.clone()).or_default() += 1;
                last_failed = last_failed.max(milliseconds(silence, sample.sent));
            }
        }
    }
    let mut replacements: Vec<f64> = first.values().map(|at| milliseconds(silence, *at)).collect();
    replacements.sort_by(f64::total_cmp);
    let failed = causes.values().sum();
    let good = samples.iter().filter(|sample| sample.sent >= silence && sample.outcome.is_ok());
    let first_good = good.map(|sample| milliseconds(silence, sample.ended));
    let first_good = first_good.min_by(f64::total_cmp);
    Seen { first_good, replacements, last_failed, failed, sent, causes }
}

/// The longest time without a good answer after `silence`, in milliseconds, for a client that asks
/// one after the other; none when no good answer came after it.
pub(crate) fn longest_gap(samples: &[Sample], silence: Nanos) -> Option<f64> {
    let good = |sample: &&Sample| sample.outcome.is_ok();
    let before = samples.iter().filter(good).map(|it| it.ended).filter(|at| *at < silence).max();
    let mut last = before.unwrap_or(silence);
    let mut longest = None;
    for sample in samples.iter().filter(good).filter(|it| it.ended >= silence) {
        let gap = milliseconds(last, sample.ended);
        longest = Some(longest.map_or(gap, |longest: f64| longest.max(gap)));
        last = sample.ended;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn sample(sent: u64, ended: u64, outcome: Result<&str, &str>) -> Sample {
        let outcome = outcome.map(str::to_owned).map_err(str::to_owned);
        Sample { sent: sent * MS, ended: ended * MS, outcome }
    }

    #[test]
    fn a_loss_is_told_by_what_clients_saw() {
        let samples = [
            sample(90, 91, Err("before")),
            sample(95, 96, Ok("a")),
            sample(99, 350, Err("timed out")),
            sample(200, 400, Err("timed out")),
            sample(210, 211, Ok("b")),
            sample(500, 505, Ok("new-1")),
            sample(300, 503, Ok("new-1")),
            sample(700, 701, Ok("new-2")),
        ];
        let before = ["a", "b"].map(str::to_owned).into();
        let seen = seen(&samples, 100 * MS, &before);
        assert_eq!(seen.replacements, [403.0, 601.0]);
        assert_eq!((seen.failed, seen.sent, seen.last_failed), (2, 6, 100.0));
        assert_eq!(seen.first_good, Some(111.0));
        assert_eq!(seen.causes, [("timed out".to_owned(), 2)].into());
    }

    #[test]
    fn a_gap_is_between_good_answers() {
        let samples = [
            sample(80, 81, Ok("a")),
            sample(99, 350, Err("closed")),
            sample(400, 401, Ok("b")),
            sample(420, 421, Ok("b")),
        ];
        assert_eq!(longest_gap(&samples, 100 * MS), Some(320.0));
        assert_eq!(longest_gap(&samples[..2], 100 * MS), None);
    }
}
