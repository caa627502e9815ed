//! The report: rows as they are written. Pure.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::budget::{Budget, Verdict};
use super::statistics::{Summary, ratio};

/// One measure of Freehold and its peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The benchmark's name, with the measure's where it has several.
    pub(crate) name: String,
    /// The unit of all values.
    pub(crate) unit: String,
    /// Ours.
    pub(crate) freehold: Summary,
    /// Theirs, by name.
    pub(crate) peers: IndexMap<String, Summary>,
    /// Our median by theirs, by the peer's name.
    pub(crate) ratio: IndexMap<String, f64>,
    /// Peers that were not measured, with the reason.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub(crate) skipped: IndexMap<String, String>,
    /// What the median must keep, and whether it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) budgets: Vec<Verdict>,
}

/// What a benchmark gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Its rows.
    pub(crate) rows: Vec<Row>,
}

impl Row {
    /// A row without peers.
    pub(crate) fn new(name: &str, unit: &str, freehold: Summary) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            freehold,
            peers: IndexMap::new(),
            ratio: IndexMap::new(),
            skipped: IndexMap::new(),
            budgets: Vec::new(),
        }
    }

    /// Adds a peer with its ratio.
    pub(crate) fn peer(&mut self, name: &str, theirs: Summary) {
        if let Some(ratio) = ratio(self.freehold.median, theirs.median) {
            self.ratio.insert(name.to_owned(), ratio);
        }
        self.peers.insert(name.to_owned(), theirs);
    }

    /// Judges budgets by what the row has so far.
    pub(crate) fn judge(&mut self, budgets: &[Budget]) {
        self.budgets = budgets.iter().filter_map(|budget| budget.judge(self)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_promised() {
        let summary = |median| Summary { median, p99: median * 2.0, runs: 50 };
        let mut row = Row::new("create-start", "ms", summary(10.0));
        row.peer("runc", summary(20.0));
        row.peer("none", summary(0.0));
        let json = serde_json::to_value(&row).unwrap();
        let wanted = serde_json::json!({
            "name": "create-start",
            "unit": "ms",
            "freehold": { "median": 10.0, "p99": 20.0, "runs": 50 },
            "peers": {
                "runc": { "median": 20.0, "p99": 40.0, "runs": 50 },
                "none": { "median": 0.0, "p99": 0.0, "runs": 50 },
            },
            "ratio": { "runc": 0.5 },
        });
        assert_eq!(json, wanted);
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }
}
