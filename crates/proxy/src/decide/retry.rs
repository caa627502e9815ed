//! Whether a failed attempt may be repeated. The rule is RFC 9110 §9.2.2: what the instance cannot
//! have seen may always be repeated, what it may have acted on only when the method is idempotent;
//! and nothing once a byte of the response has gone out.

use http::Method;

/// The most attempts for one request: the first, and one more for each of three further instances.
/// A host with several instances can fail as a whole, so one repetition is not enough.
pub const MAX_ATTEMPTS: u32 = 4;

/// How much of the request the instance may have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: connecting failed, or the instance said it did not process it.
    Nothing,
    /// Perhaps some of it, perhaps all.
    Perhaps,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// How much the instance may have seen.
    pub sent: Sent,
    /// The method is idempotent (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// The request's body can be sent again from its start (or there is none).
    pub body_whole: bool,
    /// A byte of the response has gone to the client.
    pub response_begun: bool,
    /// Attempts so far, this one included.
    pub attempts: u32,
}

/// Whether to try again.
#[must_use]
pub fn may_retry(failed: Failed) -> bool {
    !failed.response_begun
        && failed.attempts < MAX_ATTEMPTS
        && failed.body_whole
        && (failed.sent == Sent::Nothing || failed.idempotent)
}

/// Whether a method is idempotent (RFC 9110 §9.2.2); unknown methods are not.
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}
