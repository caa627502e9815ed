//! When an endpoint leaves the choice because it fails, and when it gets another chance.
//!
//! A refused connection ejects at once; broken or late answers after [`FAILURES_TO_EJECT`] in a
//! row. Each further ejection lasts twice as long, up to [`LONGEST_MS`]; one success forgives all.
//! Whatever fails while it is ejected lengthens nothing.

/// How many failures in a row eject: one might be the client's request, five are the instance.
pub const FAILURES_TO_EJECT: u8 = 5;

/// How long the first ejection lasts in milliseconds: longer than a restart's first try.
pub const FIRST_MS: u64 = 500;

/// The longest ejection: 500 ms doubled four times.
pub const LONGEST_MS: u64 = 8_000;

/// How an attempt at an endpoint ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered,
    /// It answered 502, 503 or 504, broke off, or was late.
    Failed,
    /// Connecting was refused or took too long.
    Unreachable,
}

/// What is remembered about an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    failures: u8,
    ejections: u8,
    until_ms: u64,
}

impl Health {
    /// What to remember after an attempt that ended at `now_ms`.
    #[must_use]
    pub fn after(self, outcome: Outcome, now_ms: u64) -> Self {
        match outcome {
            Outcome::Answered => Self::default(),
            Outcome::Failed if self.failures + 1 < FAILURES_TO_EJECT => {
                Self { failures: self.failures + 1, ..self }
            }
            // It was tried for want of another: when all of a restarted cluster refuse, each of
            // many requests would double the wait of instances that are there a second later.
            Outcome::Failed | Outcome::Unreachable if self.ejected(now_ms) => {
                Self { failures: 0, ..self }
            }
            Outcome::Failed | Outcome::Unreachable => self.eject(now_ms),
        }
    }

    /// Ejects now, whatever was remembered: somebody else knows that it is suspect.
    #[must_use]
    pub fn eject(self, now_ms: u64) -> Self {
        let lasts = (FIRST_MS << self.ejections.min(4)).min(LONGEST_MS);
        Self {
            failures: 0,
            ejections: self.ejections.saturating_add(1),
            until_ms: self.until_ms.max(now_ms + lasts),
        }
    }

    /// Whether it is out of the choice at `now_ms`.
    #[must_use]
    pub fn ejected(self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}
