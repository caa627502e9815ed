//! The rule of restarts: the first at once, then 1 s doubling to 30 s, forgotten after 2 minutes of
//! health. Holds no clock and no randomness: the jitter is a number given by the caller.

use api::unit::Millis;

/// A point of a host's monotonic clock, in milliseconds since any fixed begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment that lies `span` after this one.
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long before this `earlier` was; zero when it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// The first wait that is not zero.
pub const FIRST_WAIT: Millis = Millis::secs(1);

/// The longest wait; 1 s doubles to it after five deaths.
pub const LONGEST_WAIT: Millis = Millis::secs(30);

/// So long in health, and the deaths before are forgotten.
pub const FORGET_AFTER: Millis = Millis::secs(120);

/// Counts deaths that health has not made forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Restarts {
    deaths: u32,
}

impl Restarts {
    /// Notes a death and says how long to wait before the next start. `healthy` is how long the
    /// dead one had been healthy without a break, at its end; `jitter` any number: it takes up to a
    /// quarter off the wait, so that those who died together do not start together.
    #[must_use]
    pub fn died(&mut self, healthy: Millis, jitter: u64) -> Millis {
        if healthy >= FORGET_AFTER {
            self.deaths = 0;
        }
        let wait = wait(self.deaths, jitter);
        self.deaths = self.deaths.saturating_add(1);
        wait
    }
}

/// The wait after so many earlier deaths.
fn wait(earlier: u32, jitter: u64) -> Millis {
    let Some(doublings) = earlier.checked_sub(1) else { return Millis(0) };
    let full = FIRST_WAIT.0.checked_shl(doublings.min(16)).unwrap_or(LONGEST_WAIT.0);
    let full = full.min(LONGEST_WAIT.0);
    Millis(full - jitter % (full / 4 + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_at_once_then_doubling_to_the_longest() {
        let mut restarts = Restarts::default();
        let waits: Vec<u64> = (0..8).map(|_| restarts.died(Millis(0), 0).0).collect();
        assert_eq!(waits, [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn two_minutes_of_health_forget_and_less_does_not() {
        let mut restarts = Restarts::default();
        let _ = restarts.died(Millis(0), 0);
        assert_eq!(restarts.died(Millis(119_999), 0), Millis(1000));
        assert_eq!(restarts.died(FORGET_AFTER, 0), Millis(0));
        assert_eq!(restarts.died(Millis(0), 0), Millis(1000));
    }

    proptest! {
        #[test]
        fn jitter_stays_inside_its_quarter(deaths in 0u32..100, jitter in any::<u64>()) {
            let full = wait(deaths, 0).0;
            let given = wait(deaths, jitter).0;
            prop_assert!(given <= full && given >= full - full / 4);
            prop_assert!(full <= LONGEST_WAIT.0);
            prop_assert!(wait(deaths + 1, 0).0 >= full);
        }
    }
}
