//! Error codes: whose fault, HTTP status and exit code follow from the code in this one place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error as the API answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What failed and why.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where exactly in the input, for a manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<crate::manifest::Problem>,
}

impl ApiError {
    /// An error without hint.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, problems: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The input is not valid.
    Invalid,
    /// No token, or none that is known.
    Unauthenticated,
    /// The token may not do this.
    Forbidden,
    /// What was named does not exist.
    NotFound,
    /// It exists already, or has changed since it was read.
    Conflict,
    /// The input is larger than allowed.
    TooLarge,
    /// Not possible now, without a fault of the asker: no capacity, a deployment in progress.
    Blocked,
    /// A part that is needed does not answer; later it may.
    Unavailable,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// The HTTP status of the answer (RFC 9110 §15).
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::Blocked => 409,
            Self::TooLarge => 413,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// The exit code of the command line.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::TooLarge => 2,
            Self::Unauthenticated | Self::Forbidden => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::Blocked => 6,
            Self::Unavailable => 7,
            Self::Internal => 70,
        }
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}
