//! What a rule has to say: where, which rule, what is wrong.

use std::fmt;

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The file, relative to the workspace.
    pub(super) path: String,
    /// The line, from 1; 0 is the whole file.
    pub(super) line: usize,
    /// The rule's name, as exceptions use it.
    pub(super) rule: &'static str,
    /// What is wrong, and what would be right.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn new(
        path: impl Into<String>,
        line: usize,
        rule: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), line, rule, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.text, self.rule)
    }
}
