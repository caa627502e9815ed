//! What a leader granted, and what follows from it. Holds no clock: the leader's own monotonic one
//! is brought by the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::id::InstanceId;
use api::lease::{LEASE, LEASE_MARGIN};
use api::unit::Millis;

use crate::restart::Moment;
use crate::snapshot::Place;

/// What a leader knows of leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// The leader's clock.
    pub now: Moment,
    /// When it took over. It knows nothing of what was granted before.
    pub began: Moment,
    /// How long an instance may run after its host sent the request.
    pub lease: Millis,
    /// So long after that nothing of it runs for certain.
    pub margin: Millis,
    granted: BTreeMap<InstanceId, Granted>,
}

/// The last grant of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    place: Place,
    /// When its request was here: its host had sent it by then.
    asked: Moment,
}

/// A request of an instance for a lease, with what the documents say of it.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The app and its environment.
    pub place: &'a Place,
    /// The instance, which is assigned to the host that asks.
    pub instance: &'a InstanceId,
    /// Its epoch.
    pub epoch: u32,
    /// The highest epoch that was ever given in its place.
    pub highest: u32,
    /// Whether it ever ran under a lease.
    pub ran: bool,
    /// When the request was here.
    pub asked: Moment,
}

/// Why an instance gets no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another instance took its place.
    Superseded,
    /// An earlier one may still run for so long at most.
    Held(Millis),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded => f.write_str("a newer instance took its place"),
            Self::Held(wait) => {
                write!(f, "an earlier instance may still run elsewhere, for {wait} at most")
            }
        }
    }
}

impl Leases {
    /// Those of a leader that takes over now.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { now, began: now, lease: LEASE, margin: LEASE_MARGIN, granted: BTreeMap::new() }
    }

    /// How long something of an instance may still run; zero when nothing does for certain.
    #[must_use]
    pub fn wait(&self, instance: &InstanceId) -> Millis {
        let asked = self.granted.get(instance).map_or(self.began, |granted| granted.asked);
        self.over(asked.max(self.began)).since(self.now)
    }

    fn over(&self, asked: Moment) -> Moment {
        asked.after(self.lease).after(self.margin)
    }

    /// Of the instances of a place that this leader granted to, those that are not among `known`.
    pub fn strangers<'a>(
        &'a self,
        place: &'a Place,
        known: &'a BTreeSet<&InstanceId>,
    ) -> impl Iterator<Item = &'a InstanceId> {
        let here = self.granted.iter().filter(move |(_, granted)| granted.place == *place);
        here.map(|(instance, _)| instance).filter(move |instance| !known.contains(instance))
    }

    /// Decides a request and notes what is granted.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn grant(&mut self, wish: &Wish<'_>) -> Result<(), Refusal> {
        if wish.epoch == 0 || wish.epoch != wish.highest {
            return Err(Refusal::Superseded);
        }
        if !wish.ran && !self.granted.contains_key(wish.instance) {
            let others = self
                .granted
                .iter()
                .filter(|(other, granted)| granted.place == *wish.place && *other != wish.instance);
            let last = others.map(|(_, granted)| granted.asked).max();
            let over = self.over(last.unwrap_or(self.began).max(self.began));
            let wait = over.since(self.now);
            if wait.0 > 0 {
                return Err(Refusal::Held(wait));
            }
        }
        let granted = self.granted.entry(wish.instance.clone());
        let granted =
            granted.or_insert_with(|| Granted { place: wish.place.clone(), asked: wish.asked });
        granted.asked = granted.asked.max(wish.asked);
        Ok(())
    }

    /// Its host reported an instance gone: nothing of it runs, and nothing will.
    pub fn ended(&mut self, instance: &InstanceId) {
        self.granted.remove(instance);
    }

    /// Forgets what is over for long, of instances that are assigned nowhere.
    pub fn forget(&mut self, assigned: &BTreeSet<InstanceId>) {
        let (now, long) = (self.now, Millis(self.lease.0 + self.margin.0));
        self.granted.retain(|instance, granted| {
            assigned.contains(instance) || now.since(granted.asked) <= long
        });
    }
}

impl Default for Leases {
    /// Those of a leader that has just begun.
    fn default() -> Self {
        Self::new(Moment(0))
    }
}
