//! One run as it is told: figures, and what happened when.

use std::collections::BTreeMap;
use std::time::Duration;

use ::lab::Silence;
use anyhow::Result;
use indexmap::IndexMap;

use super::containers::Change;
use crate::cluster::client::{Nanos, now};
use crate::cluster::evaluate::{Seen, milliseconds};
use crate::cluster::journal::Record;
use crate::cluster::platform::Platform;

/// A run that is being told.
#[derive(Debug)]
pub(super) struct Tale {
    zero: Silence,
    what: String,
    values: IndexMap<String, f64>,
    timeline: Vec<(f64, String)>,
    failures: BTreeMap<String, usize>,
}

impl Tale {
    /// One that begins at this moment; `what` was done to whom.
    pub(super) fn now(what: &str) -> Self {
        let wall = jiff::Timestamp::now();
        Self::at(Silence { killed: Vec::new(), monotonic_ns: now(), wall }, what)
    }

    /// One that begins with a silence.
    pub(super) fn at(zero: Silence, what: &str) -> Self {
        let (values, timeline, failures) = (IndexMap::new(), Vec::new(), BTreeMap::new());
        Self { zero, what: what.to_owned(), values, timeline, failures }
    }

    /// When it began.
    pub(super) fn zero(&self) -> Nanos {
        self.zero.monotonic_ns
    }

    /// A moment after its begin, in milliseconds.
    pub(super) fn after(&self, at: Nanos) -> f64 {
        milliseconds(self.zero(), at)
    }

    /// The moment so many milliseconds after its begin.
    pub(super) fn moment(&self, after: f64) -> Nanos {
        let span = Duration::try_from_secs_f64(after / 1e3).unwrap_or_default();
        self.zero() + Nanos::try_from(span.as_nanos()).unwrap_or_default()
    }

    /// Keeps a figure.
    pub(super) fn value(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    /// Keeps a number of things.
    pub(super) fn count(&mut self, name: &str, count: usize) {
        self.value(name, f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    /// Says what happened.
    pub(super) fn says(&mut self, at: Nanos, what: impl Into<String>) {
        self.timeline.push((self.after(at), what.into()));
    }

    /// Says that something happens now.
    pub(super) fn says_now(&mut self, what: impl Into<String>) {
        self.says(now(), what);
    }

    /// Says what containers did.
    pub(super) fn says_changes(&mut self, changes: &[Change]) {
        for change in changes {
            self.says(change.at, change.told());
        }
    }

    /// Keeps how requests failed.
    pub(super) fn failures(&mut self, seen: &Seen) {
        for (cause, count) in &seen.causes {
            *self.failures.entry(cause.clone()).or_default() += count;
        }
    }

    /// The whole, with what the platform says of it.
    pub(super) fn record(mut self, platform: &dyn Platform) -> Result<Record> {
        self.timeline.extend(platform.said(&self.zero)?);
        self.timeline.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Record {
            who: platform.name().to_owned(),
            binary: String::new(),
            at: self.zero.wall.to_string(),
            what: self.what,
            values: self.values,
            timeline: self.timeline,
            failures: self.failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_the_begin() {
        let tale = Tale::now("nothing");
        assert_eq!(tale.moment(1.5), tale.zero() + 1_500_000);
        assert_eq!((tale.after(tale.moment(20.0)), tale.moment(-1.0)), (20.0, tale.zero()));
    }
}
