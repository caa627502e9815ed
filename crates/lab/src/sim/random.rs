//! Chance that follows from the seed.

use plan::reconcile::Ids;

/// A sequence of numbers that its seed decides.
#[derive(Debug, Clone)]
pub(super) struct Random(Ids);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Ids::new(seed))
    }

    /// Any number.
    pub(super) fn any(&mut self) -> u64 {
        self.0.next_number()
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.any() % (high - low + 1)
    }

    /// True so many times in a thousand.
    pub(super) fn happens(&mut self, permille: u64) -> bool {
        permille > 0 && self.any() % 1000 < permille
    }

    /// One of several.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = usize::try_from(self.any() % of.len() as u64).expect("less than a length");
        &of[at]
    }
}
