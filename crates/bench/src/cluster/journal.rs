//! Runs as they are kept: one line of JSON each in a file that outlives this process, so that a
//! long series is measured in pieces.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose: `freehold`, or a peer's name.
    pub(crate) who: String,
    /// The binary that was measured: runs of another one are not mixed in.
    pub(crate) binary: String,
    /// When it began.
    pub(crate) at: String,
    /// What was done to whom, for people.
    pub(crate) what: String,
    /// Figures by the row's name.
    pub(crate) values: IndexMap<String, f64>,
    /// What happened, in milliseconds after the silence.
    pub(crate) timeline: Vec<(f64, String)>,
    /// How requests failed, and how often.
    pub(crate) failures: BTreeMap<String, usize>,
}

/// The runs of one scenario.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    binary: String,
    records: Vec<Record>,
}

impl Journal {
    /// Opens the file of a scenario, with the runs of this binary.
    pub(crate) fn open(directory: &Path, scenario: &str, freehold: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let path = directory.join(format!("{scenario}.jsonl"));
        let binary = identity(freehold)?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        // A line that was cut off by a kill is no run.
        let all = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let records = all.filter(|record| record.binary == binary).collect();
        Ok(Self { path, binary, records })
    }

    /// The runs of one contestant.
    pub(crate) fn of(&self, who: &str) -> Vec<&Record> {
        self.records.iter().filter(|record| record.who == who).collect()
    }

    /// Everybody with runs but ourselves, each once, in the order of their first run.
    pub(crate) fn others(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for record in &self.records {
            if record.who != crate::contest::OURS && !all.contains(&record.who) {
                all.push(record.who.clone());
            }
        }
        all
    }

    /// Keeps a run.
    pub(crate) fn add(&mut self, mut record: Record) -> Result<()> {
        record.binary.clone_from(&self.binary);
        let mut line = serde_json::to_vec(&record).context("write a run")?;
        line.push(b'\n');
        let failed = || format!("write {}", self.path.display());
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.path).with_context(failed)?;
        file.write_all(&line).with_context(failed)?;
        self.records.push(record);
        Ok(())
    }
}

/// Tells builds of a binary apart: by size and time of its file.
fn identity(binary: &Path) -> Result<String> {
    let file = fs::metadata(binary).with_context(|| format!("look at {}", binary.display()))?;
    let changed = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(format!("{}-{}", file.len(), changed.unwrap_or_default().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(who: &str) -> Record {
        Record {
            who: who.to_owned(),
            binary: String::new(),
            at: "now".to_owned(),
            what: "host-4".to_owned(),
            values: [("x".to_owned(), 1.5)].into_iter().collect(),
            timeline: vec![(750.0, "suspect".to_owned())],
            failures: BTreeMap::new(),
        }
    }

    #[test]
    fn runs_are_found_again_unless_the_binary_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("freehold");
        fs::write(&binary, "one").unwrap();
        let open = || Journal::open(&directory.path().join("runs"), "loss", &binary).unwrap();
        open().add(record("freehold")).unwrap();
        let mut journal = open();
        journal.add(record("swarm")).unwrap();
        let path = directory.path().join("runs/loss.jsonl");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"who\":\"free");
        fs::write(&path, text).unwrap();
        let journal = open();
        assert_eq!((journal.of("freehold").len(), journal.of("swarm").len()), (1, 1));
        assert_eq!(journal.of("swarm")[0].timeline, record("swarm").timeline);
        fs::write(&binary, "another").unwrap();
        assert!(open().of("freehold").is_empty());
    }
}
