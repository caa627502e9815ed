//! Image references: `[host[:port]/]path[:tag][@digest]`.
//!
//! The grammar is that of the distribution project's reference package and of the OCI distribution
//! specification ("Pulling manifests"). One rule differs on purpose: without a host a reference
//! belongs to the cluster's own registry, never to a public one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};

/// Longest repository path, host included (distribution's `RepositoryNameTotalLengthMax`).
pub const MAX_NAME_BYTES: usize = 255;

/// Longest tag (OCI distribution specification).
pub const MAX_TAG_BYTES: usize = 128;

/// The tag meant when a reference has neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// A parsed image reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is nothing, or nothing but a tag or digest.
    #[error("reading image reference {0:?}: it has no repository path")]
    NoPath(String),
    /// The host part breaks the grammar.
    #[error("reading image reference {reference:?}: {host:?} is no host name and port")]
    Host {
        /// The whole reference.
        reference: String,
        /// The part at fault.
        host: String,
    },
    /// A path component breaks the grammar.
    #[error(
        "reading image reference {reference:?}: path component {component:?} may only have \
         lower-case letters and digits, separated by `.`, `_`, `__` or dashes"
    )]
    Component {
        /// The whole reference.
        reference: String,
        /// The part at fault.
        component: String,
    },
    /// The tag breaks the grammar.
    #[error(
        "reading image reference {reference:?}: tag {tag:?} must be 1 to 128 letters, digits, \
         `_`, `.` or `-`, the first no `.` or `-`"
    )]
    Tag {
        /// The whole reference.
        reference: String,
        /// The part at fault.
        tag: String,
    },
    /// The name is longer than registries accept.
    #[error("reading image reference {0:?}: its name is longer than 255 bytes")]
    TooLong(String),
    /// What follows `@` is no digest.
    #[error("reading image reference {reference:?}")]
    Digest {
        /// The whole reference.
        reference: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
}

impl Reference {
    /// The registry's `host` or `host:port`; `None` is the cluster's own registry.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The repository's path inside its registry, such as `team/app`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, as written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, as written.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What to ask the registry for: the digest if there is one, else the tag, else `latest`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository at `digest`, keeping the tag as a remark for people.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same repository at `tag`, without a digest.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`] when `tag` breaks the grammar.
    pub fn tagged(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            let (reference, tag) = (self.to_string(), shorten(tag));
            return Err(ReferenceError::Tag { reference, tag });
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same image in the registry at `host` (`None`: the cluster's own).
    ///
    /// # Errors
    /// [`ReferenceError::Host`] or [`ReferenceError::TooLong`].
    pub fn on(&self, host: Option<&str>) -> Result<Self, ReferenceError> {
        let host = host.map(str::to_ascii_lowercase);
        if let Some(host) = host.as_deref().filter(|host| !is_host(host)) {
            let (reference, host) = (self.to_string(), shorten(host));
            return Err(ReferenceError::Host { reference, host });
        }
        let moved = Self { host, ..self.clone() };
        if moved.name().len() > MAX_NAME_BYTES {
            return Err(ReferenceError::TooLong(shorten(&moved.to_string())));
        }
        Ok(moved)
    }

    /// Host and path, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        if self.tag.is_none() && self.digest.is_none() {
            write!(f, ":{DEFAULT_TAG}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference = shorten(text);
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                Err(source) => return Err(ReferenceError::Digest { reference, source }),
            },
        };
        let (host, rest) = split_host(rest);
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(ReferenceError::Host { reference, host: shorten(host) });
        }
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(ReferenceError::NoPath(reference));
        }
        if let Some(component) = path.split('/').find(|part| !is_component(part)) {
            return Err(ReferenceError::Component { reference, component: shorten(component) });
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag { reference, tag: shorten(tag) });
        }
        let parsed = Self {
            host: host.map(str::to_ascii_lowercase),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        };
        if parsed.name().len() > MAX_NAME_BYTES {
            return Err(ReferenceError::TooLong(reference));
        }
        Ok(parsed)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// At most the first 300 characters, so that hostile input does not fill an error.
fn shorten(text: &str) -> String {
    text.chars().take(300).collect()
}

/// The first component is a host if it has a dot or colon or is `localhost`.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

/// `domain [":" port]`: a DNS name, an IPv4 address or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, after)) => {
                if v6.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                match after.strip_prefix(':') {
                    Some(port) => ("", Some(port)),
                    None => return after.is_empty(),
                }
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port_ok = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    port_ok && (text.starts_with('[') || name.split('.').all(label))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    if !ends.iter().all(|end| end.is_some_and(|b| alphanumeric(*b))) {
        return false;
    }
    bytes
        .split(|b| alphanumeric(*b))
        .filter(|separator| !separator.is_empty())
        .all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|b| *b == b'-'))
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

    fn check(text: &str, host: Option<&str>, path: &str, tag: Option<&str>, shown: &str) {
        let parsed: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(parsed.host(), host, "{text}");
        assert_eq!(parsed.path(), path, "{text}");
        assert_eq!(parsed.tag(), tag, "{text}");
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(shown.parse::<Reference>().unwrap().to_string(), shown);
    }

    #[test]
    fn references_split_by_the_rules() {
        let digest = Digest::of(b"x").to_string();
        check("shop", None, "shop", None, "shop:latest");
        check("team/shop:1.2", None, "team/shop", Some("1.2"), "team/shop:1.2");
        check("team/a/b", None, "team/a/b", None, "team/a/b:latest");
        check("localhost/shop", Some("localhost"), "shop", None, "localhost/shop:latest");
        check("Reg.Example/shop", Some("reg.example"), "shop", None, "reg.example/shop:latest");
        check("h:5000/a:b", Some("h:5000"), "a", Some("b"), "h:5000/a:b");
        check("[::1]:5000/a", Some("[::1]:5000"), "a", None, "[::1]:5000/a:latest");
        check("127.0.0.1:80/a__b/c-d", Some("127.0.0.1:80"), "a__b/c-d", None, {
            "127.0.0.1:80/a__b/c-d:latest"
        });
        let both = format!("reg.example/shop:1@{digest}");
        check(&both, Some("reg.example"), "shop", Some("1"), &both);
        let pinned = format!("shop@{digest}");
        check(&pinned, None, "shop", None, &pinned);
        assert_eq!(both.parse::<Reference>().unwrap().wanted(), digest);
        assert_eq!("a".parse::<Reference>().unwrap().wanted(), "latest");
    }

    #[test]
    fn what_breaks_the_grammar_is_named() {
        for bad in [
            "",
            ":tag",
            "@sha256:12",
            "Shop",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a b",
            "../a",
            "a/../b",
            "reg.example/",
            "reg.example:0/a",
            "reg.example:99999/a",
            "reg..example/a",
            "a___b",
            "a.-b",
            "-a",
            "http://a/b",
            "[::1/a",
            "[x]:1/a",
            "a@sha512:00",
            "a\0b",
            "é",
            "a:b:c",
            "reg.example:+80/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?} was accepted");
        }
        assert!("a".repeat(256).parse::<Reference>().is_err());
        assert!(format!("a:{}", "t".repeat(129)).parse::<Reference>().is_err());
        assert!("a".repeat(255).parse::<Reference>().is_ok());
    }

    #[test]
    fn a_reference_moves_between_registries_and_tags() {
        let reference: Reference = "reg.example/a:1".parse().unwrap();
        assert_eq!(reference.on(None).unwrap().to_string(), "a:1");
        assert_eq!(reference.tagged("2").unwrap().to_string(), "reg.example/a:2");
        let at = reference.at(Digest::of(b""));
        assert_eq!(at.digest(), Some(Digest::of(b"")));
        assert!(reference.on(Some("a/b")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn display_and_parse_agree(text in "[a-z0-9./:@_-]{0,40}") {
            if let Ok(parsed) = text.parse::<Reference>() {
                let shown = parsed.to_string();
                let again: Reference = shown.parse().unwrap();
                proptest::prop_assert_eq!(again.to_string(), shown);
                proptest::prop_assert_eq!(again.host(), parsed.host());
                proptest::prop_assert_eq!(again.path(), parsed.path());
            }
        }
    }
}
