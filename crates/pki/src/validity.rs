//! When a certificate is valid and when it is time to renew it: values and arithmetic only.

use jiff::{SignedDuration, Timestamp};

/// How long certificates of hosts and servers live, from their issue on.
pub(crate) const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long the authority's own certificate lives: ten years of 365 days.
pub(crate) const CA_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// How far before its issue a certificate becomes valid, so that a peer whose clock is behind by
/// up to an hour accepts it.
pub(crate) const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A certificate is renewed when this part of its life is over: 10 of 30 days.
const RENEW_AFTER_ONE_IN: i64 = 3;

/// The span in which a certificate is valid, both ends included (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
}

/// What to do about a certificate now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing until then.
    NotBefore(Timestamp),
    /// Renew it; it still works.
    Due,
    /// Renew it; peers no longer accept it.
    Expired,
}

impl Validity {
    /// The span of a certificate issued at `now` that shall live for `lifetime`.
    pub(crate) fn issued_at(now: Timestamp, lifetime: SignedDuration) -> Self {
        let add = |by| now.saturating_add(by).expect("signed durations are units of time");
        Self { not_before: add(-CLOCK_SKEW), not_after: add(lifetime) }
    }

    /// Whether peers whose clock says `now` accept it.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before.as_second() <= now.as_second()
            && now.as_second() <= self.not_after.as_second()
    }

    /// The first moment at which it should be renewed: a third into its life.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let (from, to) = (self.not_before.as_second(), self.not_after.as_second());
        let life = to.saturating_sub(from).max(0);
        Timestamp::from_second(from + life / RENEW_AFTER_ONE_IN).unwrap_or(self.not_before)
    }

    /// The decision for a holder whose clock says `now`. A certificate that is not valid *yet*
    /// (this machine's clock is behind) waits: renewing would not help.
    #[must_use]
    pub fn renewal(&self, now: Timestamp) -> Renewal {
        let renew_at = self.renew_at();
        if now.as_second() > self.not_after.as_second() {
            Renewal::Expired
        } else if now >= renew_at {
            Renewal::Due
        } else {
            Renewal::NotBefore(renew_at)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_month_is_renewed_after_ten_days() {
        let now = at(1_800_000_000);
        let validity = Validity::issued_at(now, LEAF_LIFETIME);
        let day = 86_400;
        assert!(matches!(validity.renewal(now), Renewal::NotBefore(_)));
        assert!(matches!(validity.renewal(at(now.as_second() + 9 * day)), Renewal::NotBefore(_)));
        assert_eq!(validity.renewal(at(now.as_second() + 10 * day)), Renewal::Due);
        assert_eq!(validity.renewal(at(now.as_second() + 30 * day)), Renewal::Due);
        assert_eq!(validity.renewal(at(now.as_second() + 30 * day + 1)), Renewal::Expired);
    }

    proptest! {
        #[test]
        fn states_follow_each_other_in_time(
            from in -10_000_000_000_i64..100_000_000_000,
            life in 0_i64..10_000_000_000,
            earlier in -20_000_000_000_i64..120_000_000_000,
            later in 0_i64..10_000_000_000,
        ) {
            let validity = Validity { not_before: at(from), not_after: at(from + life) };
            let stage = |now: i64| match validity.renewal(at(now)) {
                Renewal::NotBefore(when) => {
                    assert!(when > at(now) && when <= validity.not_after);
                    0
                }
                Renewal::Due => {
                    assert!(validity.contains(at(now)));
                    1
                }
                Renewal::Expired => {
                    assert!(!validity.contains(at(now)));
                    2
                }
            };
            prop_assert!(stage(earlier) <= stage(earlier + later));
            prop_assert_eq!(stage(validity.renew_at().as_second()), 1);
            prop_assert_eq!(stage(from + life + 1), 2);
        }

        #[test]
        fn any_two_timestamps_are_survived(a: i64, b: i64, c: i64) {
            let clamp = |s: i64| {
                at(s.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()))
            };
            let validity = Validity { not_before: clamp(a), not_after: clamp(b) };
            let _ = validity.renewal(clamp(c));
        }
    }
}
