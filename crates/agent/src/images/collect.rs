//! Which layers may go. Pure: told what is used, how old it is and how full the disk is.

use std::collections::{BTreeMap, BTreeSet};

use api::unit::Millis;
use image::Digest;
use plan::restart::Moment;

/// How long what nobody uses is kept: a rollback or restart soon after finds it warm.
const KEEP: Millis = Millis::secs(3600);

/// How long it is kept when the disk is full: a fetch under way has just been used.
const KEEP_UNDER_PRESSURE: Millis = Millis::secs(60);

/// So much free is enough on any disk.
const ROOM: u64 = 2 << 30;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    None,
    /// Less than a tenth is free, and less than 2 GiB: a large disk need not stay empty.
    High,
}

impl Pressure {
    /// Of a disk with so many free of so many bytes.
    #[must_use]
    pub fn of(free: u64, total: u64) -> Self {
        if free < (total / 10).min(ROOM) { Self::High } else { Self::None }
    }
}

/// When each thing was last used.
#[derive(Debug, Default)]
pub struct Usage {
    last: BTreeMap<Digest, Moment>,
}

impl Usage {
    /// Notes what is used now.
    pub fn touch<'a>(&mut self, used: impl IntoIterator<Item = &'a Digest>, now: Moment) {
        for digest in used {
            self.last.insert(*digest, now);
        }
    }

    /// Forgets what is gone.
    pub fn forget(&mut self, digest: &Digest) {
        self.last.remove(digest);
    }
}

/// What of `present` may be removed. What was never seen in use counts from now: it may be from a
/// fetch that an earlier agent did not finish.
#[must_use]
pub fn disposable(
    present: &[Digest],
    used: &BTreeSet<Digest>,
    usage: &mut Usage,
    now: Moment,
    pressure: Pressure,
) -> Vec<Digest> {
    usage.touch(used, now);
    let keep = match pressure {
        Pressure::None => KEEP,
        Pressure::High => KEEP_UNDER_PRESSURE,
    };
    let mut gone = Vec::new();
    for digest in present {
        let last = *usage.last.entry(*digest).or_insert(now);
        if !used.contains(digest) && now.since(last) >= keep {
            gone.push(*digest);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_layers_go_after_an_hour_or_a_minute_and_used_ones_never() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let present = [a, b];
        let used = BTreeSet::from([a]);
        let mut usage = Usage::default();
        let hour = KEEP.0;
        let mut at = |ms, pressure| disposable(&present, &used, &mut usage, Moment(ms), pressure);
        assert!(at(5, Pressure::None).is_empty());
        assert!(at(hour, Pressure::None).is_empty());
        assert_eq!(at(60_005, Pressure::High), [b]);
        assert_eq!(at(hour + 5, Pressure::None), [b]);
        assert_eq!(at(100 * hour, Pressure::High), [b]);
        assert_eq!(Pressure::of(9, 100), Pressure::High);
        assert_eq!(Pressure::of(10, 100), Pressure::None);
        assert_eq!(Pressure::of(ROOM, 1 << 40), Pressure::None);
        assert_eq!(Pressure::of(ROOM - 1, 1 << 40), Pressure::High);
    }
}
