//! Knobs that make the store in memory fail like one that is far away.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::StoreError;

/// How many of the next calls fail, and how. Each counts down by itself.
#[derive(Debug, Default)]
pub struct Faults {
    reads: AtomicU32,
    writes: AtomicU32,
    answers: AtomicU32,
    /// Writes that still go through, plus one; zero is no limit.
    until: AtomicU32,
}

impl Faults {
    /// The next `calls` reads (gets, ranges, watches, status) find the store unavailable.
    pub fn fail_reads(&self, calls: u32) {
        self.reads.store(calls, Ordering::Relaxed);
    }

    /// The next `calls` writes find the store unavailable and change nothing. `u32::MAX` is as good
    /// as for ever.
    pub fn fail_writes(&self, calls: u32) {
        self.writes.store(calls, Ordering::Relaxed);
    }

    /// After `calls` more writes the store is unavailable for writing, until [`Faults::heal`].
    pub fn fail_writes_after(&self, calls: u32) {
        self.until.store(calls.saturating_add(1), Ordering::Relaxed);
    }

    /// Takes every fault back.
    pub fn heal(&self) {
        for knob in [&self.reads, &self.writes, &self.answers, &self.until] {
            knob.store(0, Ordering::Relaxed);
        }
    }

    /// The next `calls` writes are done, but their answers get lost.
    pub fn lose_answers(&self, calls: u32) {
        self.answers.store(calls, Ordering::Relaxed);
    }

    pub(super) fn before_read(&self) -> Result<(), StoreError> {
        if hit(&self.reads) { Err(injected()) } else { Ok(()) }
    }

    pub(super) fn before_write(&self) -> Result<(), StoreError> {
        let count = |left| if left > 1 { Some(left - 1) } else { None };
        let over = self.until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Err(1);
        if over || hit(&self.writes) { Err(injected()) } else { Ok(()) }
    }

    pub(super) fn after_write(&self) -> Result<(), StoreError> {
        if hit(&self.answers) {
            let what = "the answer was lost by an injected fault".to_owned();
            return Err(StoreError::Uncertain { what, cause: None });
        }
        Ok(())
    }
}

fn hit(knob: &AtomicU32) -> bool {
    knob.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

pub(super) fn injected() -> StoreError {
    StoreError::Unavailable { what: "an injected fault".to_owned(), cause: None }
}
