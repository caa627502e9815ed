//! A worker's clocks: a coarse one for deadlines, advanced by the sweeper, and the wall time's
//! text for the access log, made once a millisecond at most.

use std::cell::{Cell, RefCell};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the worker began, never 0.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    coarse_ms: Cell<u64>,
    text: RefCell<(u64, [u8; 24])>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), coarse_ms: Cell::new(1), text: RefCell::new((0, [b'0'; 24])) }
    }

    /// The time of the last tick: cheap, at most one tick old.
    pub(crate) fn coarse_ms(&self) -> u64 {
        self.coarse_ms.get()
    }

    /// The time now.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Advances the coarse clock.
    pub(crate) fn tick(&self) {
        self.coarse_ms.set(self.now_ms());
    }

    /// Writes the wall time as `2026-11-22T17:12:06.123Z`.
    pub(crate) fn write_wall_time(&self, out: &mut Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut cached = self.text.borrow_mut();
        if cached.0 / 1000 != ms / 1000 {
            cached.1 = rfc3339(ms);
        }
        if cached.0 != ms {
            let fraction = ms % 1000;
            for (at, divisor) in [(20, 100), (21, 10), (22, 1)] {
                cached.1[at] = digit(fraction / divisor);
            }
            cached.0 = ms;
        }
        out.extend_from_slice(&cached.1);
    }
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).expect("a remainder of ten fits")
}

/// The civil date of a Unix time (the era arithmetic of the proleptic Gregorian calendar).
fn rfc3339(unix_ms: u64) -> [u8; 24] {
    let seconds = unix_ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let fields = [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, of_day / 3600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
    ];
    for (at, value) in fields {
        out[at] = digit(value / 10);
        out[at + 1] = digit(value);
    }
    for (at, divisor) in [(20, 100), (21, 10), (22, 1)] {
        out[at] = digit(unix_ms % 1000 / divisor);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_agree_with_known_ones() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_042, "2024-03-01T00:00:00.042Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(std::str::from_utf8(&rfc3339(ms)).unwrap(), text);
        }
    }
}
