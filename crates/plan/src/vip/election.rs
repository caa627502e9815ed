//! One candidate's view of one address: rules, state and the total transition between states.

use api::id::HostId;
use api::network::Vip;
use api::unit::Millis;

/// How often the holder says so.
pub const ADVERT_EVERY: Millis = Millis(250);

/// How long a holder is silent before another takes over: three adverts missed.
pub const SILENCE: Millis = Millis(3 * ADVERT_EVERY.0);

/// How much longer each candidate waits than the one ranked before it: far more than an advert
/// takes on a segment, and so long that the second hears of the first one's taking over.
pub const RANK_STEP: Millis = Millis(50);

/// Not having run for so long means not to know any more who holds the address: others take over
/// after [`SILENCE`]; two thirds of it leave room for what was sent before.
pub const LATE: Millis = Millis(500);

/// What candidates say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Advert {
    /// I hold the address.
    Hold,
    /// I held it and gave it up (priority 0 in VRRP).
    Resign,
    /// I shall hold it unless someone objects; who is less preferred gives it up.
    Claim,
}

/// What happens to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    /// Another candidate, by its rank, said something.
    Heard(usize, Advert),
    /// Whether this host could answer on the address: its proxy answers or not.
    Able(bool),
    /// This host leaves in an orderly way.
    Leave,
}

/// What a candidate is to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Put the address on the link and tell the segment.
    Take,
    /// Tell the segment again whose the address is.
    Announce,
    /// Take the address off the link.
    Drop,
    /// Tell all other candidates.
    Send(Advert),
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Listens; takes over when nothing was heard until then.
    Backup {
        /// When.
        silent_at: Millis,
    },
    /// Found the address without a holder and said that it will take it.
    Rising {
        /// When, if nobody objects.
        take_at: Millis,
    },
    /// Holds the address.
    Holder {
        /// When it says so next.
        advert_at: Millis,
    },
}

/// The rules among the candidates of one address, as one of them sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Priorities by rank, the preferred candidate first.
    priorities: Vec<u8>,
    /// This host's rank.
    rank: usize,
    preempt: bool,
}

impl Election {
    /// The rules for `host`, with the candidates in the order of their ranks; none when it is no
    /// candidate or there are more than allowed.
    #[must_use]
    pub fn new(vip: &Vip, host: &HostId) -> Option<(Self, Vec<std::net::Ipv4Addr>)> {
        let mut candidates: Vec<_> = vip.candidates.iter().collect();
        candidates
            .sort_by_key(|candidate| std::cmp::Reverse((candidate.priority, candidate.address)));
        let rank = candidates.iter().position(|candidate| candidate.host == *host)?;
        if candidates.len() > Vip::MAX_CANDIDATES {
            return None;
        }
        let priorities = candidates.iter().map(|candidate| candidate.priority).collect();
        let addresses = candidates.iter().map(|candidate| candidate.address).collect();
        Some((Self { priorities, rank, preempt: vip.preempt }, addresses))
    }

    /// How long after the last advert of a holder this candidate takes over.
    fn patience(&self) -> Millis {
        Millis(SILENCE.0 + self.waits().0)
    }

    fn waits(&self) -> Millis {
        let rank = u64::try_from(self.rank).unwrap_or(u64::MAX);
        Millis(RANK_STEP.0.saturating_mul(rank))
    }

    /// Whether `rank` has a higher priority than `than`; an address decides ties but takes nothing
    /// from a holder.
    fn preferred(&self, rank: usize, than: usize) -> bool {
        let priority = |rank: usize| self.priorities.get(rank).copied().unwrap_or_default();
        self.preempt && priority(rank) > priority(than)
    }
}

/// What a candidate remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// What it is.
    pub role: Role,
    /// Whether its proxy answers.
    able: bool,
    /// When it ran last.
    ran: Millis,
    /// Until then a resignation that is heard may be an old one.
    doubts: Millis,
}

impl State {
    /// One that has just started and listens first.
    #[must_use]
    pub fn new(election: &Election, now: Millis) -> Self {
        Self { role: backup(election, now), able: false, ran: now, doubts: now }
    }

    /// Whether it holds the address.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.role, Role::Holder { .. })
    }

    /// When to step again if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Millis {
        match self.role {
            Role::Holder { advert_at } => advert_at,
            // Objections are to be heard one by one, see `step`.
            Role::Rising { .. } => Millis(self.ran.0 + RANK_STEP.0 / 4),
            Role::Backup { silent_at } if self.able => silent_at,
            Role::Backup { .. } => Millis(self.ran.0 + ADVERT_EVERY.0),
        }
        .min(Millis(self.ran.0 + ADVERT_EVERY.0))
    }
}

fn backup(election: &Election, now: Millis) -> Role {
    Role::Backup { silent_at: Millis(now.0 + election.patience().0) }
}

/// The next state, and what to do. `now` is the monotonic clock of this host. What was heard is to
/// be given before a [`Event::Tick`], which alone makes a holder.
#[must_use]
pub fn step(election: &Election, state: State, event: Event, now: Millis) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    let mut next = state;
    let away = now.0.saturating_sub(state.ran.0);
    if away > LATE.0 {
        if state.holds() {
            effects.push(Effect::Drop);
        }
        next.role = backup(election, now);
        next.doubts = Millis(now.0 + election.patience().0);
    } else if matches!(state.role, Role::Rising { .. }) && away > RANK_STEP.0 {
        // Was not there to hear objections: asks again.
        next.role = rise(now, &mut effects);
    }
    next.ran = now;
    match event {
        Event::Tick => time_passed(&mut next, &mut effects),
        Event::Heard(from, advert) => heard(election, &mut next, (from, advert), &mut effects),
        Event::Able(able) => next.able = able,
        Event::Leave => next.able = false,
    }
    if !next.able && !matches!(next.role, Role::Backup { .. }) {
        if next.holds() {
            effects.extend([Effect::Drop, Effect::Send(Advert::Resign)]);
        }
        next.role = backup(election, now);
    }
    (next, effects)
}

fn rise(now: Millis, effects: &mut Vec<Effect>) -> Role {
    effects.push(Effect::Send(Advert::Claim));
    Role::Rising { take_at: Millis(now.0 + RANK_STEP.0) }
}

/// What is due.
fn time_passed(state: &mut State, effects: &mut Vec<Effect>) {
    let now = state.ran;
    match state.role {
        Role::Backup { silent_at } if state.able && now >= silent_at => {
            state.role = rise(now, effects);
        }
        Role::Rising { take_at } if state.able && now >= take_at => {
            effects.extend([Effect::Take, Effect::Send(Advert::Hold)]);
            state.role = Role::Holder { advert_at: Millis(now.0 + ADVERT_EVERY.0) };
        }
        Role::Holder { advert_at } if state.able && now >= advert_at => {
            effects.push(Effect::Send(Advert::Hold));
            state.role = Role::Holder { advert_at: Millis(now.0 + ADVERT_EVERY.0) };
        }
        Role::Backup { .. } | Role::Rising { .. } | Role::Holder { .. } => {}
    }
}

/// What follows from another's word.
fn heard(
    election: &Election,
    state: &mut State,
    (from, advert): (usize, Advert),
    effects: &mut Vec<Effect>,
) {
    let (me, now) = (election.rank, state.ran);
    match (state.role, advert) {
        (Role::Backup { .. } | Role::Rising { .. }, Advert::Hold) => {
            state.role = backup(election, now);
            if state.able && election.preferred(me, from) {
                effects.push(Effect::Send(Advert::Claim));
            }
        }
        (Role::Backup { silent_at }, Advert::Resign) if now >= state.doubts => {
            let soon = Millis(now.0 + election.waits().0);
            state.role = Role::Backup { silent_at: soon.min(silent_at) };
        }
        // Another is about to take it: long enough for that and for its first advert.
        (Role::Backup { silent_at }, Advert::Claim) => {
            let later = Millis(now.0 + 2 * RANK_STEP.0 + election.waits().0);
            state.role = Role::Backup { silent_at: later.max(silent_at) };
        }
        (Role::Rising { .. }, Advert::Claim) if from < me => {
            state.role = backup(election, now);
        }
        (Role::Holder { .. }, Advert::Hold) if from < me => {
            effects.push(Effect::Drop);
            state.role = backup(election, now);
        }
        // Someone thinks the same of itself: it hears this and yields; the segment must know too.
        (Role::Holder { .. }, Advert::Hold) => {
            effects.push(Effect::Announce);
            state.role = Role::Holder { advert_at: now };
        }
        (Role::Holder { .. }, Advert::Claim) if election.preferred(from, me) => {
            effects.extend([Effect::Drop, Effect::Send(Advert::Resign)]);
            state.role = backup(election, now);
        }
        // An objection: who asks has missed something.
        (Role::Holder { .. }, Advert::Claim) => effects.push(Effect::Send(Advert::Hold)),
        (Role::Backup { .. } | Role::Rising { .. } | Role::Holder { .. }, Advert::Resign)
        | (Role::Rising { .. }, Advert::Claim) => {}
    }
}

#[cfg(test)]
mod tests;
