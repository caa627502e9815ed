//! The name of one container; safe as a file name, a cgroup name and in messages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest id: it is a directory name, a cgroup name and part of log paths; 64 leaves room in each.
pub(super) const MAX_ID_LEN: usize = 64;

/// A container's id: 1 to 64 of `a-z`, `0-9` and `-`, not beginning or ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is not a container id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("container id {0:?} is not 1 to 64 of a-z, 0-9 and inner '-'")]
pub struct ContainerIdError(String);

impl ContainerId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// The text is empty, too long, or has other characters.
    pub fn new(text: impl Into<String>) -> Result<Self, ContainerIdError> {
        let text = text.into();
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let fits = !text.is_empty() && text.len() <= MAX_ID_LEN;
        if plain && fits && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text))
        } else {
            Err(ContainerIdError(text.chars().take(MAX_ID_LEN).collect()))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = ContainerIdError;

    fn try_from(text: String) -> Result<Self, ContainerIdError> {
        Self::new(text)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerId;

    #[test]
    fn ids_are_safe_names() {
        for good in ["a", "web-1", "0", &"x".repeat(64)] {
            assert!(ContainerId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a.b", "a b", "ä", &"x".repeat(65)] {
            assert!(ContainerId::new(bad).is_err(), "{bad}");
        }
    }
}
