//! Which route a request takes: host first, then the longest path prefix.
//!
//! Works on what the request says literally: paths are neither decoded nor normalised, so what a
//! route's prefix protects must be protected by the app too.

use std::collections::HashMap;

/// Two routes claim the same host and path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two routes claim host {host:?} with path {path:?}")]
pub struct Duplicate {
    /// The host pattern.
    pub host: String,
    /// The path prefix.
    pub path: String,
}

/// Path prefixes of one host with the route's index, longest first, without trailing slash.
type Paths = Vec<(Box<str>, usize)>;

/// An index over host patterns and path prefixes. A lookup costs one hash for the exact host and
/// one per label for wildcards.
#[derive(Debug, Default)]
pub struct Matcher {
    exact: HashMap<Box<str>, Paths>,
    /// Keyed by what follows the `*.`.
    wildcard: HashMap<Box<str>, Paths>,
    any: Paths,
}

impl Matcher {
    /// Builds the index from `(host pattern, path prefix)` in the order of the routes' indexes.
    ///
    /// # Errors
    /// When two routes claim the same host and path.
    pub fn new<'a>(
        routes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Duplicate> {
        let mut matcher = Self::default();
        for (index, (host, path)) in routes.into_iter().enumerate() {
            let path = path.trim_end_matches('/');
            let paths = if host == "*" {
                &mut matcher.any
            } else if let Some(parent) = host.strip_prefix("*.") {
                matcher.wildcard.entry(parent.into()).or_default()
            } else {
                matcher.exact.entry(host.into()).or_default()
            };
            if paths.iter().any(|(taken, _)| **taken == *path) {
                return Err(Duplicate { host: host.into(), path: path.into() });
            }
            let at = paths.partition_point(|(other, _)| other.len() >= path.len());
            paths.insert(at, (path.into(), index));
        }
        Ok(matcher)
    }

    /// The index of the route for a normalised host (see [`normalise_host`]) and a path.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        if let Some(found) = self.exact.get(host).and_then(|paths| longest(paths, path)) {
            return Some(found);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(found) = self.wildcard.get(parent).and_then(|p| longest(p, path)) {
                    return Some(found);
                }
                rest = parent;
            }
        }
        longest(&self.any, path)
    }
}

fn longest(paths: &Paths, path: &str) -> Option<usize> {
    paths.iter().find(|(prefix, _)| path_fits(prefix, path)).map(|(_, index)| *index)
}

/// Whether `path` starts with `prefix` (no trailing slash) at a segment's border.
#[must_use]
pub fn path_fits(prefix: &str, path: &str) -> bool {
    match path.as_bytes().strip_prefix(prefix.as_bytes()) {
        Some(rest) => prefix.is_empty() || matches!(rest.first(), None | Some(b'/')),
        None => false,
    }
}

/// Cuts port and trailing dot from an authority; `None` when it is not one (RFC 3986 §3.2). The
/// result still has the client's upper and lower case.
#[must_use]
pub fn bare_host(authority: &str) -> Option<&str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let end = rest.find(']')?;
        let inside = &rest[..end];
        if inside.is_empty() || !inside.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        {
            return None;
        }
        (&authority[..end + 2], &rest[end + 1..])
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()+,;=%".contains(&b);
        if host.is_empty() || !host.bytes().all(fine) {
            return None;
        }
        (host.strip_suffix('.').unwrap_or(host), port)
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port_fits = port.is_empty()
        || (port.starts_with(':')
            && digits.len() <= 5
            && digits.bytes().all(|b| b.is_ascii_digit()));
    (port_fits && !host.is_empty()).then_some(host)
}

/// [`bare_host`] in lower case, allocating only when the client used upper case.
#[must_use]
pub fn normalise_host(authority: &str) -> Option<std::borrow::Cow<'_, str>> {
    let host = bare_host(authority)?;
    Some(if host.bytes().any(|b| b.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    })
}

/// Whether a host pattern of a table is well formed: `*`, or a lower-case host, perhaps after `*.`.
#[must_use]
pub fn pattern_is_valid(pattern: &str) -> bool {
    let host = pattern.strip_prefix("*.").unwrap_or(pattern);
    pattern == "*"
        || (!host.contains('*') && normalise_host(host).is_some_and(|normal| normal == host))
}
