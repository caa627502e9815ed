//! Runs in turns: A B C, A B C, … so that whatever disturbs the machine disturbs all alike.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;

use super::budget::Budget;
use super::report::Row;
use super::statistics::{Better, Summary};

/// Our own name in a contest.
pub(crate) const OURS: &str = "freehold";

/// One thing that every run measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// The row's name.
    pub(crate) name: &'static str,
    /// The unit of its values.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// What the median must keep.
    pub(crate) budgets: &'static [Budget],
}

/// One run of a contestant: a value for every measure, in their order. Its number starts at 0,
/// which is the one that is not counted.
pub(crate) type Run<'a> = Box<dyn FnMut(usize) -> Result<Vec<f64>> + 'a>;

/// A contestant that is ready to be measured, or the reason why it can't be.
pub(crate) struct Entrant<'a> {
    name: &'static str,
    run: Result<Run<'a>, String>,
}

impl<'a> Entrant<'a> {
    /// Freehold itself: if a run of it fails the benchmark does.
    pub(crate) fn ours(run: impl FnMut(usize) -> Result<Vec<f64>> + 'a) -> Self {
        Self { name: OURS, run: Ok(Box::new(run)) }
    }

    /// A peer; when its first run fails it is skipped with the reason.
    pub(crate) fn peer(
        name: &'static str,
        run: impl FnMut(usize) -> Result<Vec<f64>> + 'a,
    ) -> Self {
        Self { name, run: Ok(Box::new(run)) }
    }

    /// A peer that can't be measured here.
    pub(crate) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, run: Err(why.into()) }
    }
}

/// How a contest is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// What every run measures.
    pub(crate) measures: &'a [Measure],
    /// Counted runs of everybody; one more goes before.
    pub(crate) runs: usize,
    /// Between two runs: what the kernel still clears away is not the next one's to pay for.
    pub(crate) pause: Duration,
}

/// Holds the contest and gives a row for every measure.
pub(crate) fn compete(plan: Plan<'_>, entrants: Vec<Entrant<'_>>) -> Result<Vec<Row>> {
    let mut skipped: IndexMap<String, String> = IndexMap::new();
    let mut ready: Vec<(&'static str, Run<'_>, Vec<Vec<f64>>)> = Vec::new();
    for entrant in entrants {
        match entrant.run {
            Ok(run) => ready.push((entrant.name, run, vec![Vec::new(); plan.measures.len()])),
            Err(why) => drop(skipped.insert(entrant.name.to_owned(), why)),
        }
    }
    for number in 0..=plan.runs {
        let mut lost = Vec::new();
        for (index, (name, run, values)) in ready.iter_mut().enumerate() {
            sleep(plan.pause);
            let taken = match run(number) {
                Ok(taken) if taken.len() == plan.measures.len() => taken,
                Ok(taken) => bail!("{name} gave {} values", taken.len()),
                Err(error) if *name == OURS => {
                    return Err(error).context(format!("run {number} of {name}"));
                }
                Err(error) => {
                    lost.push((index, format!("run {number} failed: {error:#}")));
                    continue;
                }
            };
            if number > 0 {
                for (values, value) in values.iter_mut().zip(taken) {
                    values.push(value);
                }
            }
        }
        for (index, why) in lost.into_iter().rev() {
            let (name, _, _) = ready.remove(index);
            skipped.insert(name.to_owned(), why);
        }
        progress(number, plan.runs);
    }
    let rows = plan.measures.iter().enumerate().map(|(index, measure)| {
        let summary =
            |values: &[Vec<f64>]| Summary::of(&values[index], measure.better).context("no runs");
        let ours = ready.iter().find(|(name, _, _)| *name == OURS).context("no own runs")?;
        let mut row = Row::new(measure.name, measure.unit, summary(&ours.2)?);
        for (name, _, values) in ready.iter().filter(|(name, _, _)| *name != OURS) {
            row.peer(name, summary(values)?);
        }
        row.skipped.clone_from(&skipped);
        row.judge(measure.budgets);
        Ok(row)
    });
    rows.collect()
}

fn progress(number: usize, runs: usize) {
    if runs >= 10 && number.is_multiple_of(10) {
        eprintln!("  {number} of {runs} runs");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const MEASURES: &[Measure] = &[Measure {
        name: "x",
        unit: "ms",
        better: Better::Less,
        budgets: &[Budget::TimesAtMost("slow", 1.0)],
    }];

    fn plan() -> Plan<'static> {
        Plan { measures: MEASURES, runs: 3, pause: Duration::ZERO }
    }

    #[test]
    fn runs_alternate_and_the_first_is_not_counted() {
        let order = RefCell::new(String::new());
        let entrant = |letter: char, base: f64| {
            let order = &order;
            move |number: usize| {
                order.borrow_mut().push(letter);
                Ok(vec![if number == 0 { 1000.0 } else { base }])
            }
        };
        let entrants = vec![
            Entrant::ours(entrant('a', 2.0)),
            Entrant::peer("slow", entrant('b', 4.0)),
            Entrant::skipped("away", "not installed"),
        ];
        let rows = compete(plan(), entrants).unwrap();
        assert_eq!(*order.borrow(), "abababab");
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.freehold.p99, row.freehold.runs), (2.0, 3));
        assert_eq!(row.ratio["slow"], 0.5);
        assert_eq!(row.skipped["away"], "not installed");
        assert!(row.budgets[0].met);
    }

    #[test]
    fn a_peer_that_fails_is_skipped_and_we_are_not() {
        let fails = |_| bail!("no");
        let good = |_| Ok(vec![1.0]);
        let rows = compete(plan(), vec![Entrant::ours(good), Entrant::peer("p", fails)]).unwrap();
        assert!(rows[0].peers.is_empty() && rows[0].skipped["p"].contains("no"));
        assert!(compete(plan(), vec![Entrant::ours(fails), Entrant::peer("p", good)]).is_err());
        assert!(compete(plan(), vec![Entrant::ours(|_| Ok(vec![]))]).is_err());
    }
}
