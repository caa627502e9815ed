//! Names of repositories and of manifests in them.

use std::fmt;
use std::str::FromStr;

use image::{Digest, DigestError};

/// Longest repository name in bytes: what common clients accept with a host before it
/// (OCI distribution specification, "Pulling manifests").
const MAX_NAME_BYTES: usize = 255;

/// Longest tag in bytes (OCI distribution specification, "Pulling manifests").
const MAX_TAG_BYTES: usize = 128;

/// A repository's name, such as `retail/shop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// Why a text names nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No repository's name.
    #[error(
        "reading repository name {0:?}: it must be lower-case letters and digits, separated by \
         `.`, `_`, `__` or dashes, in parts separated by `/`, at most 255 bytes"
    )]
    Repository(String),
    /// Neither a tag nor a digest.
    #[error(
        "reading tag {0:?}: it must be 1 to 128 letters, digits, `_`, `.` or `-`, the first no \
         `.` or `-`"
    )]
    Tag(String),
    /// A digest that is malformed or of an algorithm not supported.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl RepositoryName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= MAX_NAME_BYTES && text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Repository(shorten(text)))
        }
    }
}

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ManifestName {
    /// By a tag, which may come to mean another manifest.
    Tag(String),
    /// By its content.
    Digest(Digest),
}

impl fmt::Display for ManifestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for ManifestName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            return Ok(Self::Digest(text.parse()?));
        }
        if is_tag(text) {
            Ok(Self::Tag(text.to_owned()))
        } else {
            Err(NameError::Tag(shorten(text)))
        }
    }
}

/// At most the first 300 characters, so that hostile input does not fill an error.
fn shorten(text: &str) -> String {
    text.chars().take(300).collect()
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_in_words =
        bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    ends_in_words
        && bytes
            .split(|b| word(*b))
            .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|b| *b == b'-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG_BYTES
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        let long = "a".repeat(255);
        for good in ["a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "docker.io/x", "0", &long] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        let longer = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", ".", "..", "a/../b", "-a",
            "a-", "a b", "a%2fb", "a\0", "é", "a:b", "_a", &longer,
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn manifests_are_named_by_tag_or_digest() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string().parse(), Ok(ManifestName::Digest(digest)));
        assert_eq!("v1.0-a_B".parse(), Ok(ManifestName::Tag("v1.0-a_B".into())));
        let longer = "a".repeat(129);
        for bad in ["", ".a", "-a", "a/b", "..", "sha256:12", "a b", &longer] {
            assert!(bad.parse::<ManifestName>().is_err(), "{bad:?}");
        }
    }
}
