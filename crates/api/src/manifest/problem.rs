//! What is wrong with a manifest, and where. Rendering with carets is the command line's work.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tree;

/// The most problems reported at once: more than a person reads, few enough for an answer of the
/// API (256 × ≤ 300 bytes ≤ 77 KB).
pub const MAX_PROBLEMS: usize = 256;

/// One thing that is wrong in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Which value, e.g. `process.port` or `on.staging.scale.instances`; empty for the whole.
    pub path: String,
    /// What is wrong with it: a lower-case fragment.
    pub message: String,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The bytes of the source it is about; none when there is no source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Range<usize>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All that is wrong in one manifest file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestErrors {
    /// The file's name, as shown to people.
    pub file: String,
    /// The file's whole text, which the problems' spans point into.
    pub source: String,
    /// What is wrong, in the order of the text; never empty, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

impl ManifestErrors {
    /// Gives problems that came without spans (from a server, or from a stored manifest) the places
    /// of their paths in `source`. A path that is not in the source stays without.
    #[must_use]
    pub fn locate(file: &str, source: &str, mut problems: Vec<Problem>) -> Self {
        let places = tree::places(source);
        for problem in problems.iter_mut().filter(|problem| problem.span.is_none()) {
            problem.span = places.get(&problem.path).cloned();
        }
        sort(&mut problems);
        Self { file: file.to_owned(), source: source.to_owned(), problems }
    }

    /// Line and column where a problem starts, both from 1, the column in characters; none when the
    /// problem has no span inside the source.
    #[must_use]
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let start = problem.span.as_ref()?.start;
        let before = self.source.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Some((line, before[line_start..].chars().count() + 1))
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            match self.position(problem) {
                Some((line, column)) => {
                    write!(f, "{newline}{}:{line}:{column}: {problem}", self.file)?;
                }
                None => write!(f, "{newline}{}: {problem}", self.file)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

/// Puts problems into the order of the text, those without a place last, and drops repetitions and
/// what is above [`MAX_PROBLEMS`].
pub(super) fn sort(problems: &mut Vec<Problem>) {
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert((problem.path.clone(), problem.message.clone())));
    problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    problems.truncate(MAX_PROBLEMS);
}
