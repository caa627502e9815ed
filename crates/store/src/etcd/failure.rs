//! What etcd's errors mean: whether anything was done, and which of ours they are.

use std::error::Error as _;
use std::sync::Arc;

use etcd_client::Error;
use tonic::Code;

use crate::{Cause, StoreError};

/// Why an operation failed, in the words that decide what to do about it.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was done and another member, or the same one later, may do it.
    NotDone(Error),
    /// No answer: it may have been done.
    Lost(Error),
    /// No answer within the time given: it may have been done.
    Late,
    /// The revision asked for is compacted.
    Compacted,
    /// The revision asked for is to come.
    Future,
    /// There is no such lease.
    NoLease,
    /// No room: etcd's quota or the disk.
    Full(Error),
    /// An answer larger than we take.
    TooLarge(Error),
    /// Refused, and would be again.
    Refused(Error),
}

impl Failed {
    /// Whether the member or the way to it is to blame, so that others should be asked.
    pub(super) fn blames_member(&self) -> bool {
        matches!(self, Self::NotDone(_) | Self::Lost(_) | Self::Late)
    }

    /// For operations that change nothing.
    pub(super) fn of_read(self, what: &str) -> StoreError {
        match self {
            Self::NotDone(error) | Self::Lost(error) => unavailable(what, Some(error)),
            Self::Late => unavailable(&format!("{what}: no answer in time"), None),
            other => other.refused(what),
        }
    }

    /// For operations that may have changed something.
    pub(super) fn of_write(self, what: &str) -> StoreError {
        match self {
            Self::NotDone(error) => unavailable(what, Some(error)),
            Self::Lost(error) => uncertain(what, Some(error)),
            Self::Late => uncertain(&format!("{what}: no answer in time"), None),
            other => other.refused(what),
        }
    }

    fn refused(self, what: &str) -> StoreError {
        match self {
            Self::Full(error) => {
                StoreError::DiskFull { place: "in etcd".to_owned(), cause: Some(cause(error)) }
            }
            Self::TooLarge(error) | Self::Refused(error) => internal(what, error),
            other => StoreError::Internal { what: format!("{what}: {other:?}"), cause: None },
        }
    }
}

impl From<Error> for Failed {
    /// The texts are those of etcd's `api/v3rpc/rpctypes/error.go`, unchanged from 3.4 to 3.6.
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::GRpcStatus(status) => status,
            Error::LeaseKeepAliveError(text) if text == "lease not found" => return Self::NoLease,
            Error::InvalidArgs(_) | Error::InvalidUri(_) => return Self::Refused(error),
            _ => return Self::Lost(error),
        };
        let says = |text: &str| status.message().contains(text);
        match status.code() {
            _ if says("required revision has been compacted") => Self::Compacted,
            _ if says("required revision is a future revision") => Self::Future,
            _ if says("requested lease not found") => Self::NoLease,
            _ if says("database space exceeded") || says("no space") => Self::Full(error),
            _ if says("etcdserver: no leader") || says("too many requests") => Self::NotDone(error),
            // It refuses to change its members before those there are have been well for 5 s.
            _ if says("unhealthy cluster") => Self::NotDone(error),
            _ if says("not supported for learner") => Self::NotDone(error),
            Code::OutOfRange if says("decoded message length") => Self::TooLarge(error),
            Code::Unavailable | Code::Unknown | Code::Cancelled if never_sent(status) => {
                Self::NotDone(error)
            }
            Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Aborted
            | Code::DataLoss => Self::Lost(error),
            _ => Self::Refused(error),
        }
    }
}

/// Whether there was no connection at all.
fn never_sent(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn cause(error: Error) -> Cause {
    Arc::new(error)
}

pub(super) fn unavailable(what: &str, error: Option<Error>) -> StoreError {
    StoreError::Unavailable { what: what.to_owned(), cause: error.map(cause) }
}

fn uncertain(what: &str, error: Option<Error>) -> StoreError {
    StoreError::Uncertain { what: what.to_owned(), cause: error.map(cause) }
}

pub(super) fn internal(what: &str, error: Error) -> StoreError {
    StoreError::Internal { what: what.to_owned(), cause: Some(cause(error)) }
}
