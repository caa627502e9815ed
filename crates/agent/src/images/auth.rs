//! What a registry asks for when it answers 401 (RFC 9110 §11.6.1, and the token protocol of the
//! distribution project). Pure.

use std::collections::BTreeMap;

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token, to be fetched.
    Bearer {
        /// Where from.
        realm: String,
        /// `service` and `scope`, as they are to be asked for.
        query: BTreeMap<String, String>,
    },
}

/// Reads a `WWW-Authenticate` header; none when it asks for nothing we know.
#[must_use]
pub fn parse_challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    let realm = parameters.remove("realm")?;
    parameters.retain(|name, _| name == "service" || name == "scope");
    Some(Challenge::Bearer { realm, query: parameters })
}

/// `name=value` or `name="value"`, separated by commas.
fn parameters(mut rest: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, left) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), left)
            }
        };
        found.insert(name, value);
        rest = left;
    }
    found
}

/// The text up to the closing quote, `\` undone, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// The address to fetch a token from.
pub(super) fn token_url(realm: &str, query: &BTreeMap<String, String>) -> String {
    let mut url = realm.to_owned();
    for (name, value) in query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        for byte in value.bytes() {
            // RFC 3986 §2.3: unreserved characters stand for themselves.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_registries_send_them() {
        let header = concat!(
            r#"Bearer realm="https://auth.example/token",service="registry.example","#,
            r#"scope="repository:a/b:pull,push""#
        );
        let Some(Challenge::Bearer { realm, query }) = parse_challenge(header) else {
            panic!("no bearer")
        };
        assert_eq!(realm, "https://auth.example/token");
        assert_eq!(query["scope"], "repository:a/b:pull,push");
        let url = token_url(&realm, &query);
        let expected = "https://auth.example/token?scope=repository%3Aa%2Fb%3Apull%2Cpush\
                        &service=registry.example";
        assert_eq!(url, expected);
        assert_eq!(parse_challenge("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(parse_challenge("basic"), Some(Challenge::Basic));
        assert_eq!(parse_challenge("Negotiate"), None);
        assert_eq!(parse_challenge("Bearer service=x"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(header in ".{0,80}", tail in "[ -~]{0,60}") {
            let _ = parse_challenge(&header);
            let _ = parse_challenge(&format!("Bearer {tail}"));
        }
    }
}
