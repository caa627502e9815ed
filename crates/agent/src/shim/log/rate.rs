//! A token bucket of bytes. Pure: the caller brings the time.

use crate::runtime::BoottimeMs;

/// Waiting for single bytes would mean a wake-up for each: sleep at least this long.
const LEAST_WAIT_MS: u64 = 20;

/// How fast output may come. The bucket holds one second's worth, so a burst of that passes at
/// once; what is taken beyond it is owed and has to come in before more is taken.
#[derive(Clone, Debug)]
pub(in crate::shim) struct Bucket {
    per_s: Option<i64>,
    tokens: i64,
    filled: BoottimeMs,
}

impl Bucket {
    pub(in crate::shim) fn new(per_s: Option<u64>, now: BoottimeMs) -> Self {
        let per_s = per_s.map(|rate| i64::try_from(rate).unwrap_or(i64::MAX).max(1));
        Self { per_s, tokens: per_s.unwrap_or(0), filled: now }
    }

    /// Whether anything may be taken now; else when.
    pub(in crate::shim) fn ready(&mut self, now: BoottimeMs) -> Result<(), BoottimeMs> {
        let Some(per_s) = self.per_s else { return Ok(()) };
        let passed = i64::try_from(now.ms_since(self.filled)).unwrap_or(i64::MAX);
        let gained = per_s.saturating_mul(passed) / 1000;
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(per_s);
            self.filled = now;
        }
        if self.tokens > 0 {
            return Ok(());
        }
        let owed = 1i64.saturating_sub(self.tokens);
        let wait = owed.saturating_mul(1000) / per_s + 1;
        Err(self.filled.plus_ms(u64::try_from(wait).unwrap_or(0).max(LEAST_WAIT_MS)))
    }

    /// Takes what was read; may take more than is there.
    pub(in crate::shim) fn take(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bucket;
    use crate::runtime::BoottimeMs;

    proptest! {
        #[test]
        fn over_a_longer_time_the_rate_holds(
            rate in 1000u64..1_000_000,
            steps in proptest::collection::vec((0u64..50, 1usize..4096), 1..400),
        ) {
            let mut now = BoottimeMs(5);
            let mut bucket = Bucket::new(Some(rate), now);
            let (start, mut taken) = (now, 0u64);
            for (wait, want) in steps {
                now = now.plus_ms(wait);
                if bucket.ready(now).is_ok() {
                    bucket.take(want);
                    taken += want as u64;
                }
            }
            // One burst, what came in since, and the last read that overdrew.
            let earned = rate + rate * now.ms_since(start) / 1000;
            prop_assert!(taken <= earned + 4096, "{taken} of {earned}");
        }
    }

    #[test]
    fn it_runs_dry_and_says_when_to_come_back() {
        let mut bucket = Bucket::new(Some(1000), BoottimeMs(0));
        assert!(bucket.ready(BoottimeMs(0)).is_ok());
        bucket.take(5000);
        let later = bucket.ready(BoottimeMs(0)).unwrap_err();
        assert_eq!(later, BoottimeMs(4002));
        assert!(bucket.ready(BoottimeMs(3999)).is_err());
        assert!(bucket.ready(later).is_ok());
        assert!(Bucket::new(None, BoottimeMs(0)).ready(BoottimeMs(0)).is_ok());
    }
}
