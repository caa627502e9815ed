//! Typed quantities with their units. Text forms are strict: a number without the unit it needs, or
//! with another's, is refused with the units that would have been right.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A quantity whose text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {what}: {reason}")]
pub struct InvalidUnit {
    /// What was expected, e.g. `an amount of memory`.
    pub what: &'static str,
    /// What was given, shortened to 80 characters.
    pub value: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

fn invalid(what: &'static str, value: &str, reason: impl Into<String>) -> InvalidUnit {
    InvalidUnit { what, value: value.chars().take(80).collect(), reason: reason.into() }
}

/// Splits `12.5MiB` into `12.5` and `MiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// Reads a decimal number times `factor` exactly; `None` when it is no number, too large or not a
/// whole number of the smallest unit.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut value = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    if number.contains('.') {
        if fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor);
        if part % scale != 0 {
            return None;
        }
        value += part / scale;
    }
    u64::try_from(value).ok()
}

macro_rules! quantity {
    ($name:ident, $inner:ty, $pattern:literal, $example:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "text such as {:?}", $example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }

        impl $name {
            /// The plain number, in the unit that the type documents.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }
    };
}

/// Processor time per time, in thousandths of one core; text `250m`, `1` or `1.5`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliCpu(pub u32);
quantity!(MilliCpu, u32, r"^[0-9]+(\.[0-9]+)?m?$", "250m");

impl FromStr for MilliCpu {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        const WHAT: &str = "an amount of cpu";
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "m" => 1,
            "" => 1000,
            _ => {
                let reason = format!("unknown unit {unit:?}; write \"250m\" or cores as \"1.5\"");
                return Err(invalid(WHAT, text, reason));
            }
        };
        scaled(number, factor)
            .and_then(|milli| u32::try_from(milli).ok())
            .map(Self)
            .ok_or_else(|| invalid(WHAT, text, "write \"250m\" or cores as \"1.5\""))
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            f.pad(&(self.0 / 1000).to_string())
        } else {
            f.pad(&format!("{}m", self.0))
        }
    }
}

/// An amount of memory or disk, in bytes; text `128MiB`, `1.5GiB`, `500MB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);
quantity!(Bytes, u64, r"^[0-9]+(\.[0-9]+)?(B|[kMGT]B|[KMGT]iB)$", "128MiB");

/// Units of bytes, largest first (IEC 80000-13 for the binary ones, SI for the others).
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Bytes {
    /// `n` mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl FromStr for Bytes {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        const WHAT: &str = "an amount of bytes";
        let (number, unit) = split_unit(text);
        let Some((_, factor)) = BYTE_UNITS.iter().find(|(name, _)| *name == unit) else {
            let same = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            let reason = match (unit, same) {
                ("", _) => "the unit is missing; write e.g. \"128MiB\"".to_owned(),
                (_, Some((name, _))) => format!("unknown unit {unit:?}; did you mean {name:?}?"),
                _ => format!("unknown unit {unit:?}; use KiB, MiB, GiB, TiB, kB, MB, GB or TB"),
            };
            return Err(invalid(WHAT, text, reason));
        };
        scaled(number, *factor)
            .map(Self)
            .ok_or_else(|| invalid(WHAT, text, "write a number and a unit, e.g. \"128MiB\""))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = BYTE_UNITS[..4]
            .iter()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        match unit {
            Some((name, size)) => f.pad(&format!("{}{name}", self.0 / size)),
            None => f.pad(&format!("{}B", self.0)),
        }
    }
}

/// A length of time, in milliseconds; text `500ms`, `10s`, `2m`, `1h` or several: `1m30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);
quantity!(Millis, u64, r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", "10s");

/// Units of time, largest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Millis {
    /// `n` seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(n * 1000)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl FromStr for Millis {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        const WHAT: &str = "a length of time";
        let mut rest = text;
        let mut total = 0u64;
        loop {
            let (number, tail) = split_unit(rest);
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at(end);
            let Some((_, factor)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
                let reason = match unit {
                    "" => "the unit is missing; write e.g. \"10s\" or \"500ms\"".to_owned(),
                    _ => format!("unknown unit {unit:?}; use ms, s, m, h or d"),
                };
                return Err(invalid(WHAT, text, reason));
            };
            total = scaled(number, *factor)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| invalid(WHAT, text, "write a number and a unit, e.g. \"10s\""))?;
            if next.is_empty() {
                return Ok(Self(total));
            }
            rest = next;
        }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut text = String::new();
        for (unit, size) in TIME_UNITS {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_forms_are_read() {
        assert_eq!("250m".parse(), Ok(MilliCpu(250)));
        assert_eq!("1.5".parse(), Ok(MilliCpu(1500)));
        assert_eq!("128MiB".parse(), Ok(Bytes(128 << 20)));
        assert_eq!("1.5GiB".parse(), Ok(Bytes(3 << 29)));
        assert_eq!("1m30s".parse(), Ok(Millis(90_000)));
        assert_eq!("0.5s".parse(), Ok(Millis(500)));
    }

    #[test]
    fn wrong_units_say_what_would_be_right() {
        let error = "128Mib".parse::<Bytes>().unwrap_err();
        assert!(error.reason.contains("did you mean \"MiB\""), "{error}");
        let error = "128".parse::<Bytes>().unwrap_err();
        assert!(error.reason.contains("unit is missing"), "{error}");
        let error = "10 s".parse::<Millis>().unwrap_err();
        assert!(error.reason.contains("unknown unit"), "{error}");
        for bad in ["", "m", "-1", "1e3", "0.0001", "99999999999", "1.", "0x10"] {
            assert!(bad.parse::<MilliCpu>().is_err(), "{bad}");
        }
        assert!("99999999999TiB".parse::<Bytes>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(n in any::<u64>(), cpu in any::<u32>()) {
            prop_assert_eq!(MilliCpu(cpu).to_string().parse(), Ok(MilliCpu(cpu)));
            prop_assert_eq!(Bytes(n).to_string().parse(), Ok(Bytes(n)));
            prop_assert_eq!(Millis(n).to_string().parse(), Ok(Millis(n)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<MilliCpu>();
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Millis>();
        }
    }
}
