//! `[environment]`: the variables of an instance.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{InvalidName, SecretName};

use super::decode::{Context, Decode};
use super::tree::Node;

/// What marks a reference to a secret.
const SECRET: &str = "secret:";

/// A variable's value. `secret:NAME` is the secret NAME of the app's team in the environment; a
/// text that itself starts with `secret:` is written with two colons, `secret::…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvironmentValue {
    /// This very text.
    Literal(String),
    /// The value of this secret.
    Secret(SecretName),
}

impl EnvironmentValue {
    /// Reads the manifest's text form.
    ///
    /// # Errors
    /// When it is a reference to a secret whose name is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match text.strip_prefix(SECRET) {
            None => Ok(Self::Literal(text.to_owned())),
            Some(rest) if rest.starts_with(':') => Ok(Self::Literal(format!("secret{rest}"))),
            Some(name) => SecretName::new(name).map(Self::Secret),
        }
    }
}

/// The manifest's text form.
impl fmt::Display for EnvironmentValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "{SECRET}{name}"),
            Self::Literal(text) => match text.strip_prefix(SECRET) {
                Some(rest) => write!(f, "{SECRET}:{rest}"),
                None => f.write_str(text),
            },
        }
    }
}

impl Serialize for EnvironmentValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EnvironmentValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for EnvironmentValue {
    fn schema_name() -> Cow<'static, str> {
        "EnvironmentValue".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A text, or `secret:NAME` for the value of a secret; a text that itself \
                starts with `secret:` is written `secret::…`.",
            "examples": ["info", "secret:database-password"],
        })
    }
}

impl Decode for EnvironmentValue {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        let text = String::decode(node, cx)?;
        match Self::parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let hint = "a text that starts with \"secret:\" is written \"secret::…\"";
                cx.fail(node, error.to_string(), Some(hint.to_owned()));
                None
            }
        }
    }
}
