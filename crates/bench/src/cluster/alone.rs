//! A series of ours alone, or beside a ceiling that is measured in the same run: what is missing is
//! measured as long as there is time, then everything in the journal becomes rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::journal::{Journal, Record};
use crate::contest::{Better, Budget, OURS, Row, Summary};
use crate::setting::Setting;

/// A row of a series.
pub(super) struct Measure {
    /// The figure's name in the records.
    pub(super) value: &'static str,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Which of two is better.
    pub(super) better: Better,
    /// What it must keep.
    pub(super) budgets: Vec<Budget>,
}

impl Measure {
    /// A figure of which less is better.
    pub(super) fn less(value: &'static str, unit: &'static str, budgets: &[Budget]) -> Self {
        Self { value, unit, better: Better::Less, budgets: budgets.to_vec() }
    }

    /// A figure of which more is better.
    pub(super) fn more(value: &'static str, unit: &'static str, budgets: &[Budget]) -> Self {
        Self { value, unit, better: Better::More, budgets: budgets.to_vec() }
    }
}

/// Measures the runs of `name` that are missing and gives its rows. `start` brings up what all runs
/// share; a run gives our record, and those of whom it is compared with.
pub(super) fn series<P>(
    setting: &Setting,
    (name, wanted): (&str, usize),
    measures: &[Measure],
    start: impl FnOnce() -> Result<P>,
    mut run: impl FnMut(&mut P, usize) -> Result<Vec<Record>>,
) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let order = &setting.order;
    let mut journal = Journal::open(&order.journal, name, &order.freehold)?;
    if journal.of(OURS).len() < wanted {
        let mut place = start()?;
        eprintln!("  {name} is up after {:.1} s", begun.elapsed().as_secs_f64());
        let mut longest = Duration::ZERO;
        for number in journal.of(OURS).len()..wanted {
            // One that cannot end in time is not begun.
            if order.within.is_some_and(|within| begun.elapsed() + longest > within) {
                eprintln!("  {name}: {number} of {wanted} runs; the same command goes on");
                break;
            }
            let started = Instant::now();
            let records = run(&mut place, number).with_context(|| format!("run {number}"))?;
            longest = longest.max(started.elapsed());
            for record in records {
                tell(number, &record);
                journal.add(record)?;
            }
        }
    }
    let rows = rows(name, measures, &journal);
    ensure!(!rows.is_empty(), "no run of {name}");
    Ok(rows)
}

fn tell(number: usize, record: &Record) {
    let values: Vec<String> =
        record.values.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
    eprintln!("  {} {number}: {}: {}", record.who, record.what, values.join(", "));
    for (at, what) in &record.timeline {
        eprintln!("  {at:>9.1} ms  {what}");
    }
    for (cause, count) in &record.failures {
        eprintln!("  {count} failed: {cause}");
    }
}

fn rows(name: &str, measures: &[Measure], journal: &Journal) -> Vec<Row> {
    let mut rows = Vec::new();
    for Measure { value, unit, better, budgets } in measures {
        let summary = |who: &str| {
            let records = journal.of(who);
            let values = records.iter().filter_map(|record| record.values.get(*value));
            Summary::of(&values.copied().collect::<Vec<_>>(), *better)
        };
        let Some(ours) = summary(OURS) else { continue };
        let mut row = Row::new(&format!("{name}-{value}"), unit, ours);
        for who in journal.others() {
            if let Some(theirs) = summary(&who) {
                row.peer(&who, theirs);
            }
        }
        row.judge(budgets);
        rows.push(row);
    }
    rows
}

/// A record of now.
pub(super) fn record(
    who: &str,
    what: &str,
    values: impl IntoIterator<Item = (&'static str, f64)>,
) -> Record {
    Record {
        who: who.to_owned(),
        binary: String::new(),
        at: jiff::Timestamp::now().to_string(),
        what: what.to_owned(),
        values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        timeline: Vec::new(),
        failures: std::collections::BTreeMap::new(),
    }
}

/// A count as a figure.
pub(super) fn figure(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_rows_beside_who_was_measured_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("freehold");
        std::fs::write(&binary, "one").unwrap();
        let mut journal = Journal::open(directory.path(), "fill", &binary).unwrap();
        for (rate, errors) in [(80.0, 0.0), (90.0, 2.0), (100.0, 0.0)] {
            journal.add(record(OURS, "x", [("rate", rate), ("errors", errors)])).unwrap();
            journal.add(record("ceiling", "x", [("rate", 180.0)])).unwrap();
        }
        let measures = [
            Measure::more("rate", "MiB/s", &[Budget::TimesAtLeast("ceiling", 0.5)]),
            Measure::less("errors", "errors", &[Budget::EachAtMost(0.0)]),
            Measure::less("nothing", "ms", &[]),
        ];
        let rows = rows("fill", &measures, &journal);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["fill-rate", "fill-errors"]);
        assert_eq!((rows[0].freehold.p99, rows[0].ratio["ceiling"]), (80.0, 0.5));
        assert!(rows[0].budgets[0].met);
        assert!(!rows[1].budgets[0].met, "one of three runs had errors");
        assert!(rows[1].peers.is_empty());
    }
}
