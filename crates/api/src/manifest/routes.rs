//! `[routes]`: the public names and ports of an app.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::unit::{Bytes, Millis};

use super::decode::{Context, Decode, quoted, table};
use super::tree::Node;
use super::value::text;

table! {
    /// The public names and ports of an app.
    pub struct Routes {
        /// Names, `*.` names, and names with a path, that lead to `process.port`.
        #[schemars(
            example = serde_json::json!(["shop.example.com", "*.example.com", "example.com/shop"])
        )]
        pub hosts: Vec<RouteHost> = Vec::new();
        /// Ports of the ingress whose connections are passed to `process.port` as they are.
        #[schemars(inner(range(min = 1, max = 65535)))]
        #[schemars(example = serde_json::json!([5432]))]
        pub tcp: Vec<u16> = Vec::new(), within 1, 65535;
        /// Whether plain HTTP is answered by a redirect to HTTPS.
        pub redirect_https: bool = false;
        /// The largest body of a request; at most 1TiB.
        pub max_body: Bytes = Bytes::mib(64), within Bytes(0), Bytes(1 << 40);
        /// How long the app may take until its answer starts; 100ms to 1h.
        pub timeout: Millis = Millis::secs(60), within Millis(100), Millis::secs(3600);
    }
}

/// A public name with an optional path: `shop.example.com`, `*.example.com`, `example.com/shop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteHost {
    /// The lower-case DNS name; `*.` in front stands for any names below it, but not itself.
    pub host: String,
    /// The path prefix, counted in whole segments: `/` or e.g. `/shop`, without a last slash.
    pub path: String,
}

/// A route that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a public name: {reason}")]
pub struct InvalidRouteHost {
    value: String,
    reason: String,
    hint: Option<String>,
}

impl RouteHost {
    /// The name under the `*.`, if there is one.
    #[must_use]
    pub fn wildcard_of(&self) -> Option<&str> {
        self.host.strip_prefix("*.")
    }
}

impl fmt::Display for RouteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "{}{path}", self.host)
    }
}

/// What is wrong with a name, and what to write (RFC 1123 §2.1 for the labels).
fn check_host(host: &str) -> Result<(), (String, Option<String>)> {
    let fail = |reason: &str, hint: Option<String>| Err((reason.to_owned(), hint));
    let name = host.strip_prefix("*.").unwrap_or(host);
    if name.is_empty() {
        return fail("the name is missing", None);
    }
    if let Some((_, rest)) = host.split_once("://") {
        return fail("it is an address with a scheme", Some(format!("write {}", quoted(rest))));
    }
    if let Some((before, _)) = host.split_once(':') {
        let hint = Some(format!("write {}", quoted(before)));
        return fail("a port is not part of a name", hint);
    }
    if name.contains('*') {
        return fail("'*' may only stand for the whole first label, as in *.example.com", None);
    }
    if !name.is_ascii() {
        return fail("it has letters beyond a-z", Some("write it in punycode, xn--…".into()));
    }
    if host.chars().any(|c| c.is_ascii_uppercase()) {
        let hint = Some(format!("write {}", quoted(&host.to_ascii_lowercase())));
        return fail("it has capital letters", hint);
    }
    if name.len() > 253 {
        return fail("it is longer than 253 characters", None);
    }
    for label in name.split('.') {
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if label.is_empty() || label.len() > 63 {
            return fail("each part between dots has 1 to 63 characters", None);
        }
        if !label.chars().all(allowed) || label.starts_with('-') || label.ends_with('-') {
            return fail("the parts between dots consist of a-z, 0-9 and inner '-'", None);
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.chars().all(|c| c.is_ascii_digit()) {
        return fail("it is an address", Some("write a DNS name".into()));
    }
    Ok(())
}

/// What is wrong with a path prefix (the characters are those of RFC 3986 §3.3).
fn check_path(path: &str) -> Result<(), (String, Option<String>)> {
    let fail = |reason: &str| Err((reason.to_owned(), None));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    if let Some(c) = path.chars().find(|c| !allowed(*c)) {
        return Err((format!("{c:?} is not allowed in a path prefix"), None));
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return fail("the path must not contain '.' or '..'");
    }
    if path.contains("//") {
        return fail("the path must not contain '//'");
    }
    if path.len() > 1024 {
        return fail("the path is longer than 1024 characters");
    }
    Ok(())
}

impl FromStr for RouteHost {
    type Err = InvalidRouteHost;
    fn from_str(text: &str) -> Result<Self, InvalidRouteHost> {
        let at = match text.find("://") {
            Some(_) => text.len(),
            None => text.find('/').unwrap_or(text.len()),
        };
        let (host, path) = text.split_at(at);
        check_host(host)
            .and_then(|()| check_path(path))
            .map_err(|(reason, hint)| InvalidRouteHost { value: quoted(text), reason, hint })?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }
}

impl Serialize for RouteHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RouteHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for RouteHost {
    fn schema_name() -> Cow<'static, str> {
        "RouteHost".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[^\s?#]*)?$",
            "description": "A public name, `*.` in front for all names below it, an optional path \
                behind it.",
        })
    }
}

impl Decode for RouteHost {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        match text(node, cx, "text such as \"shop.example.com\"")?.parse() {
            Ok(host) => Some(host),
            Err(error @ InvalidRouteHost { .. }) => {
                let hint = error.hint.clone();
                cx.fail(node, error.to_string(), hint);
                None
            }
        }
    }
}
