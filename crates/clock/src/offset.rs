//! How far the wall time of a process is off that of its machine, where a rehearsal wants that.

use std::fmt;
use std::str::FromStr;

use api::unit::Millis;

/// The environment variable that holds it, as in `-1h` or `90s`; for rehearsals alone.
pub const OFFSET_VARIABLE: &str = "FREEHOLD_CLOCK_OFFSET";

/// A signed length of time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(pub i64);

/// Why an offset was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the clock's offset {text:?}: {reason}")]
pub struct OffsetError {
    text: String,
    reason: String,
}

impl Offset {
    /// What the environment says; none is no offset.
    ///
    /// # Errors
    /// It says something that is no signed length of time.
    pub fn from_environment() -> Result<Self, OffsetError> {
        match std::env::var(OFFSET_VARIABLE) {
            Ok(text) => text.parse(),
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(error) => {
                Err(OffsetError { text: OFFSET_VARIABLE.to_owned(), reason: error.to_string() })
            }
        }
    }
}

impl FromStr for Offset {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, OffsetError> {
        let (sign, span) = match text.split_at_checked(1) {
            Some(("-", span)) => (-1, span),
            Some(("+", span)) => (1, span),
            _ => (1, text),
        };
        let wrong = |reason: String| OffsetError { text: text.to_owned(), reason };
        let span: Millis = span.parse().map_err(|error| wrong(format!("{error}")))?;
        let span = i64::try_from(span.0).map_err(|error| wrong(error.to_string()))?;
        Ok(Self(sign * span))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Millis(self.0.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_are_signed_lengths_of_time() {
        for (text, millis) in [("90s", 90_000), ("+2m", 120_000), ("-1h", -3_600_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Offset(millis)), "{text}");
        }
        for text in ["", "-", "soon", "--1s", "5", "é"] {
            assert!(text.parse::<Offset>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in -1_000_000_000_000i64..1_000_000_000_000) {
            let offset = Offset(millis);
            prop_assert_eq!(offset.to_string().parse(), Ok(offset));
        }
    }
}
