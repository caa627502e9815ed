//! Medians, percentiles and ratios. Pure.

use serde::{Deserialize, Serialize};

/// Which of two values of a measure is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Times, memory.
    Less,
    /// Rates.
    More,
}

/// What is told of the values of one contestant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The middle value; between the two middle ones their mean.
    pub(crate) median: f64,
    /// No more than one in a hundred values is worse (nearest rank; of fewer than 100 the worst).
    pub(crate) p99: f64,
    /// How many values there were.
    pub(crate) runs: usize,
}

impl Summary {
    /// None without values.
    pub(crate) fn of(values: &[f64], better: Better) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        if better == Better::More {
            sorted.reverse();
        }
        let p99 = nearest_rank(&sorted, 99)?;
        Some(Self { median: middle(&sorted)?, p99, runs: sorted.len() })
    }
}

/// The median of values in any order; none without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    middle(&sorted)
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let above = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(above);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], above))
}

/// The value at rank ⌈percent/100 × n⌉ of values sorted from best to worst.
fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Our median by theirs; none where that says nothing.
pub(crate) fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    let ratio = ours / theirs;
    ratio.is_finite().then_some(ratio)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_middle_and_the_tail() {
        let of = |values: &[f64]| Summary::of(values, Better::Less);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7.0]), Some(Summary { median: 7.0, p99: 7.0, runs: 1 }));
        assert_eq!(of(&[3.0, 1.0]), Some(Summary { median: 2.0, p99: 3.0, runs: 2 }));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(of(&hundred), Some(Summary { median: 50.5, p99: 99.0, runs: 100 }));
        let more: Vec<f64> = (1..=101).map(f64::from).collect();
        assert_eq!(of(&more), Some(Summary { median: 51.0, p99: 100.0, runs: 101 }));
    }

    #[test]
    fn the_tail_of_rates_is_at_the_low_end() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let summary = Summary::of(&hundred, Better::More);
        assert_eq!(summary, Some(Summary { median: 50.5, p99: 2.0, runs: 100 }));
    }

    #[test]
    fn a_ratio_by_nothing_is_none() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(ratio(3.0, 0.0), None);
        assert_eq!(ratio(0.0, 0.0), None);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_the_tail_leaves_a_hundredth(
            mut values in prop::collection::vec(-1e6..1e6f64, 1..400),
        ) {
            let summary = Summary::of(&values, Better::Less).unwrap();
            let worse = values.iter().filter(|value| **value > summary.p99).count();
            prop_assert!(worse * 100 <= values.len());
            prop_assert!(values.contains(&summary.p99) && summary.median <= summary.p99);
            let below = values.iter().filter(|value| **value < summary.median).count();
            let above = values.iter().filter(|value| **value > summary.median).count();
            prop_assert!(below * 2 <= values.len() && above * 2 <= values.len());
            prop_assert_eq!(median(&values), Some(summary.median));
            values.reverse();
            prop_assert_eq!(Summary::of(&values, Better::Less), Some(summary));
            let turned: Vec<f64> = values.iter().map(|value| -value).collect();
            let turned = Summary::of(&turned, Better::More).unwrap();
            prop_assert_eq!((turned.median, turned.p99), (-summary.median, -summary.p99));
        }
    }
}
