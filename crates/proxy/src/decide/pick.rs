//! Which endpoint gets a request: the one with the fewest requests under way for its weight.
//!
//! Up to [`SCAN_UP_TO`] endpoints all are compared; beyond, the better of two random ones is taken
//! (Mitzenmacher, "The power of two choices", 2001), and all are compared only when both fail.

/// Up to this many endpoints a full scan is cheaper than its own branch mispredictions.
pub const SCAN_UP_TO: usize = 8;

/// What is known about an endpoint at the moment of the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests under way.
    pub in_flight: u32,
    /// Its share relative to the others; 0 counts as 1.
    pub weight: u32,
    /// Out of the choice while another is in it.
    pub ejected: bool,
    /// Already tried for this request: never chosen.
    pub tried: bool,
}

impl Candidate {
    /// Whether `self` is less loaded than `other`: (in flight + 1) / weight, compared crosswise.
    fn beats(self, other: Self) -> bool {
        let load =
            |mine: Self, weight: u32| (u64::from(mine.in_flight) + 1) * u64::from(weight.max(1));
        load(self, other.weight) < load(other, self.weight)
    }

    fn open(self) -> bool {
        !self.ejected && !self.tried
    }
}

/// The index of the endpoint to take among `count`, seen through `look`. Ejected ones are taken
/// only when no other is left (serving badly beats not serving); `None` when all were tried.
/// `random` decides between equals.
pub fn pick(count: usize, random: u64, look: impl Fn(usize) -> Candidate) -> Option<usize> {
    if count == 0 {
        return None;
    }
    if count > SCAN_UP_TO {
        let first = below(random, count);
        let other = below(random >> 32, count - 1);
        let second = if other >= first { other + 1 } else { other };
        let (a, b) = (look(first), look(second));
        match (a.open(), b.open()) {
            (true, true) => return Some(if b.beats(a) { second } else { first }),
            (true, false) => return Some(first),
            (false, true) => return Some(second),
            (false, false) => {}
        }
    }
    let start = below(random, count);
    let mut best: Option<(usize, Candidate)> = None;
    for step in 0..count {
        let index = if start + step < count { start + step } else { start + step - count };
        let candidate = look(index);
        if candidate.tried {
            continue;
        }
        let better = match best {
            None => true,
            Some((_, held)) if held.ejected != candidate.ejected => held.ejected,
            Some((_, held)) => candidate.beats(held),
        };
        if better {
            best = Some((index, candidate));
        }
    }
    best.map(|(index, _)| index)
}

/// The index of the group to take, by weight, among those that `has_endpoints`; when all of these
/// weigh 0, any of them. `None` when no group has an endpoint.
pub fn pick_group(groups: &[(u32, bool)], random: u64) -> Option<usize> {
    if let [(_, has)] = groups {
        return has.then_some(0);
    }
    let total: u64 = groups.iter().filter(|(_, has)| *has).map(|(w, _)| u64::from(*w)).sum();
    if total == 0 {
        return groups.iter().position(|(_, has)| *has);
    }
    let mut point = random % total;
    for (index, (weight, has)) in groups.iter().enumerate() {
        if *has {
            if point < u64::from(*weight) {
                return Some(index);
            }
            point -= u64::from(*weight);
        }
    }
    None
}

/// A number below `count` from the low 32 bits of `random` without division.
fn below(random: u64, count: usize) -> usize {
    (((random & 0xffff_ffff) * count as u64) >> 32) as usize
}
