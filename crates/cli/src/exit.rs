//! The exit codes of the command line, all of them, with what each means. Errors choose one here;
//! nothing else may invent a number.

use api::error::ErrorCode;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Success = 0,
    /// It failed in a way that has no code of its own.
    Failure = 1,
    /// Arguments, manifest or other input are not valid.
    Invalid = 2,
    /// No token, or one that may not do this.
    Denied = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// It exists already, or has changed meanwhile.
    Conflict = 5,
    /// Not possible now: no capacity, or a deployment in progress.
    Blocked = 6,
    /// No server could be reached, or it lacks something it needs.
    Unavailable = 7,
    /// The deployment did not become healthy; the release before runs again.
    RolledBack = 10,
    /// The deployment did not become healthy and there was nothing to go back to.
    DeploymentFailed = 11,
    /// The waiting ended before the deployment did; it goes on.
    StillGoing = 12,
    /// Another process runs on the same data directory.
    InUse = 13,
    /// This machine lacks what is needed: root, a free port, nft, cgroups, a free subnet.
    Unfit = 14,
    /// A fault of ours.
    Internal = 70,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, in order; the documentation is made of it.
    pub(crate) const ALL: &[(Self, &str)] = &[
        (Self::Success, "what was asked for is done"),
        (Self::Failure, "it failed in a way that has no code of its own"),
        (Self::Invalid, "arguments, manifest or other input are not valid"),
        (Self::Denied, "no token, or one that may not do this"),
        (Self::NotFound, "what was named does not exist"),
        (Self::Conflict, "it exists already, or has changed meanwhile"),
        (Self::Blocked, "not possible now: no capacity, or a deployment in progress"),
        (Self::Unavailable, "no server could be reached, or it lacks something it needs"),
        (Self::RolledBack, "the deployment did not become healthy; the release before runs again"),
        (
            Self::DeploymentFailed,
            "the deployment did not become healthy and there was nothing to go back to",
        ),
        (Self::StillGoing, "the waiting ended before the deployment did; it goes on"),
        (Self::InUse, "another process runs on the same data directory"),
        (
            Self::Unfit,
            "this machine lacks what is needed: root, a free port, nft, cgroups, a free subnet",
        ),
        (Self::Internal, "a fault of Freehold's own"),
        (Self::Interrupted, "interrupted by Ctrl-C"),
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// All codes as lines of text.
    pub(crate) fn table() -> String {
        let line = |(exit, meaning): &(Self, &str)| format!("{:>4}  {meaning}\n", exit.code());
        Self::ALL.iter().map(line).collect()
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Invalid | ErrorCode::TooLarge => Self::Invalid,
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => Self::Denied,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::Blocked => Self::Blocked,
            ErrorCode::Unavailable => Self::Unavailable,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert!(codes.is_sorted() && codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
        assert_eq!(codes.len(), 15, "a new code must be listed");
    }

    #[test]
    fn the_api_says_the_same_numbers() {
        for code in [
            ErrorCode::Invalid,
            ErrorCode::Unauthenticated,
            ErrorCode::Forbidden,
            ErrorCode::NotFound,
            ErrorCode::Conflict,
            ErrorCode::TooLarge,
            ErrorCode::Blocked,
            ErrorCode::Unavailable,
            ErrorCode::Internal,
        ] {
            assert_eq!(Exit::from(code).code(), code.exit_code(), "{code:?}");
        }
    }
}
