//! How long to wait before the next server is tried. Pure.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(2);

/// A stream that lived so long was a good one: the next wait is the first again.
const GOOD: Duration = Duration::from_secs(5);

/// Waits that double.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// Waits that grow no longer than this.
    #[must_use]
    pub fn up_to(longest: Duration) -> Self {
        Self { failures: 0, longest }
    }

    /// The wait after a stream that lived for `lived`; `jitter` takes up to half of it off.
    #[must_use]
    pub fn wait(&mut self, lived: Duration, jitter: u64) -> Duration {
        if lived >= GOOD {
            self.failures = 0;
        }
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(full.as_micros() / 2).unwrap_or(u64::MAX);
        full - Duration::from_micros(jitter % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_begin_anew_after_a_good_stream() {
        let mut backoff = Backoff::default();
        let short = Duration::ZERO;
        let waits: Vec<u128> = (0..8).map(|_| backoff.wait(short, 0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(backoff.wait(GOOD, 0), FIRST);
        for jitter in [1, 12_345, u64::MAX] {
            let wait = Backoff { failures: 3, longest: LONGEST }.wait(short, jitter).as_millis();
            assert!((200..=400).contains(&wait), "{wait}");
        }
    }
}
