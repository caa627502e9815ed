//! What a call can fail with. What the server answered is kept whole; what never reached one says
//! which addresses were tried and why each failed.

use std::fmt;

use api::error::{ApiError, ErrorCode};

use crate::address::{Address, MalformedAddress};

/// An address that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// The address.
    pub address: Address,
    /// Why, for people.
    pub cause: String,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.cause)
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An address is malformed.
    #[error(transparent)]
    Address(#[from] MalformedAddress),
    /// No address was given.
    #[error("find the cluster: no server address is known")]
    NoAddress,
    /// The authorities to trust can't be used.
    #[error("use the authorities that servers are trusted by: {0}")]
    Authority(String),
    /// The token has characters that no header may have.
    #[error("use the token: it holds characters that no token has")]
    Token,
    /// No server could be reached; each of the addresses with its reason.
    #[error("reach the cluster: {}", list(.0))]
    Unreachable(Vec<Unreached>),
    /// A server was reached, but whether it did what was asked is not known.
    #[error("get an answer from {}: {}", .0.address, .0.cause)]
    Lost(Unreached),
    /// The server refused; what it answered.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer is not what the API says it is.
    #[error("understand the answer of {address} to {what}: {reason}")]
    Answer {
        /// Who answered.
        address: Address,
        /// Method and path.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's own source or sink failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
}

fn list(unreached: &[Unreached]) -> String {
    let texts: Vec<String> = unreached.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl ClientError {
    /// What kind of error: exit codes follow from it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Address(_) | Self::NoAddress | Self::Authority(_) | Self::Token => {
                ErrorCode::Invalid
            }
            Self::Unreachable(_) | Self::Lost(_) => ErrorCode::Unavailable,
            Self::Api(error) => error.code,
            Self::Answer { .. } | Self::Io { .. } => ErrorCode::Internal,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address(_) | Self::NoAddress => {
                Some("set FREEHOLD_API to the servers' addresses, or run: freehold login".into())
            }
            Self::Authority(_) => Some("set FREEHOLD_CA to the cluster's ca.pem".into()),
            Self::Token => Some("set FREEHOLD_TOKEN or FREEHOLD_TOKEN_FILE to a token".into()),
            Self::Unreachable(tried) if tried.iter().any(|t| t.cause.contains("certificate")) => {
                Some("is FREEHOLD_CA the ca.pem of this cluster?".into())
            }
            Self::Unreachable(_) => {
                Some("is the server running, and is FREEHOLD_API its address?".into())
            }
            Self::Lost(_) => Some("look whether it was done before you try again".into()),
            Self::Api(error) => error.hint.clone(),
            Self::Answer { .. } => Some("is this a Freehold server of the same version?".into()),
            Self::Io { .. } => None,
        }
    }

    /// The server's answer, when it gave one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}
