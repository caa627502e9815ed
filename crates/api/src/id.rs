//! Typed names and ids. Each is validated once, where it is made, and carries its meaning in its
//! type; none is convertible into another by accident.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A name that does not follow the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {reason}")]
pub struct InvalidName {
    /// The kind of name, e.g. `app name`.
    pub what: &'static str,
    /// What was given, shortened to 80 characters.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Checks the rules of a DNS label (RFC 1123 §2.1, lower case): `a-z`, `0-9` and inner `-`,
/// starting with a letter, of at most `max` characters.
fn check_label(what: &'static str, value: &str, max: usize) -> Result<(), InvalidName> {
    let fail =
        |reason: String| Err(InvalidName { what, value: value.chars().take(80).collect(), reason });
    if value.is_empty() {
        return fail("it is empty".into());
    }
    if value.len() > max {
        return fail(format!("it has {} characters, at most {max} are allowed", value.len()));
    }
    if let Some(c) = value.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return fail(format!("{c:?} is not allowed; use a-z, 0-9 and '-'"));
    }
    if !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        return fail("it must start with a letter a-z".into());
    }
    if value.ends_with('-') {
        return fail("it must not end with '-'".into());
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The most characters a name of this kind may have.
            pub const MAX_LEN: usize = $max;

            /// Checks and takes a name.
            ///
            /// # Errors
            /// When `value` is not a lower-case DNS label of at most [`Self::MAX_LEN`] characters.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                check_label($what, &value, $max)?;
                Ok(Self(value.into_boxed_str()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(s: String) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into_string()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$",
                    "maxLength": $max,
                })
            }
        }
    };
}

name!(
    /// An app's name; unique in the cluster.
    AppName, "app name", 30
);
name!(
    /// A team's name.
    TeamName, "team name", 30
);
name!(
    /// An environment's name, e.g. `staging`.
    EnvironmentName, "environment name", 20
);
name!(
    /// A host's name; unique in the cluster.
    HostId, "host name", 63
);
name!(
    /// A server's name; unique in the cluster.
    ServerId, "server name", 63
);
name!(
    /// One container of a release: `APP-ENVIRONMENT-SUFFIX`, also the container's host name.
    /// 30 + 1 + 20 + 1 + 8 = 60 characters at most, inside a DNS label's 63.
    InstanceId, "instance id", 60
);
name!(
    /// A secret's name inside its team and environment.
    SecretName, "secret name", 63
);

/// Characters of an instance's suffix: digits and letters without the easily confused `i l o u`.
const SUFFIX_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl InstanceId {
    /// Makes `APP-ENVIRONMENT-SUFFIX` with the low 40 bits of `number` as 8 characters.
    #[must_use]
    pub fn compose(app: &AppName, environment: &EnvironmentName, number: u64) -> Self {
        let suffix: String = (0..8)
            .rev()
            .map(|i| char::from(SUFFIX_ALPHABET[(number >> (5 * i)) as usize & 31]))
            .collect();
        Self(format!("{app}-{environment}-{suffix}").into_boxed_str())
    }
}

/// A release's number inside its app, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u32);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A release named from outside its app: `APP@NUMBER`, e.g. `shop@7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseKey {
    /// The app.
    pub app: AppName,
    /// The release's number inside it.
    pub number: ReleaseNumber,
}

impl fmt::Display for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.app, self.number))
    }
}

impl FromStr for ReleaseKey {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName {
            what: "release",
            value: s.chars().take(80).collect(),
            reason: "expected APP@NUMBER, e.g. shop@7".into(),
        };
        let (app, number) = s.split_once('@').ok_or_else(invalid)?;
        let number = number.parse().map_err(|_| invalid())?;
        Ok(Self { app: app.parse()?, number: ReleaseNumber(number) })
    }
}

impl TryFrom<String> for ReleaseKey {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        s.parse()
    }
}

impl From<ReleaseKey> for String {
    fn from(key: ReleaseKey) -> String {
        key.to_string()
    }
}

impl JsonSchema for ReleaseKey {
    fn schema_name() -> Cow<'static, str> {
        "ReleaseKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9-]*@[0-9]+$" })
    }
}

/// A counter that only grows: of an assignment, a table, a policy. A receiver refuses an older one.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The near names to show for an unknown one: those within a third of its length, best first.
#[must_use]
pub fn near_names<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (unknown.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_dns_labels() {
        for good in ["a", "shop", "a-1", "x2"] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(31);
        for bad in ["", "-a", "a-", "1a", "A", "a.b", "a b", "ä", long.as_str()] {
            assert!(AppName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_instance_id_is_a_dns_label() {
        let app = AppName::new("a".repeat(AppName::MAX_LEN)).unwrap();
        let environment = EnvironmentName::new("e".repeat(EnvironmentName::MAX_LEN)).unwrap();
        let id = InstanceId::compose(&app, &environment, u64::MAX);
        assert_eq!(id.as_str().len(), InstanceId::MAX_LEN);
        assert_eq!(InstanceId::new(id.as_str()).as_ref(), Ok(&id));
    }

    #[test]
    fn near_names_come_best_first() {
        let known = ["memory", "cpu", "cpu_max", "pids"];
        assert_eq!(near_names("memroy", known), ["memory"]);
        assert_eq!(near_names("cpumax", known), ["cpu_max"]);
        assert!(near_names("colour", known).is_empty());
    }

    #[test]
    fn release_keys_round_trip() {
        let key: ReleaseKey = "shop@7".parse().unwrap();
        assert_eq!(key.to_string(), "shop@7");
        assert!("shop@".parse::<ReleaseKey>().is_err());
        assert!("shop".parse::<ReleaseKey>().is_err());
    }
}
