//! Who has which tables, and so who is in and who is out of service. An instance counts as serving
//! when every host has a table with it, and may be stopped when every host has had a table without
//! it for [`SETTLE`]: packets and requests that were on their way have arrived by then.

use std::collections::{BTreeMap, BTreeSet};

use api::id::{Generation, HostId, InstanceId};
use api::protocol::Acknowledge;
use api::time::Timestamp;
use api::unit::Millis;

/// How long after the last acknowledgment an instance is left alone.
pub const SETTLE: Millis = Millis(500);

/// After this long a host that has not acknowledged is named.
pub const LAGGARD: Millis = Millis::secs(5);

/// What the leader remembers of tables and their acknowledgments. A new leader begins with nothing
/// and so waits for every host to have its first table.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    current: Generation,
    /// The generation at which each instance of the current tables came in.
    entered: BTreeMap<InstanceId, Generation>,
    /// The generation at which instances went out, and since when every host has it.
    left: BTreeMap<InstanceId, Left>,
    /// The first generation that was published here: what instances unknown before wait for.
    first: Option<Left>,
    /// What each host has; only hosts that are not taken for dead.
    hosts: BTreeMap<HostId, Has>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Has {
    generation: Generation,
    /// Since when there are newer tables, and it has taken none; nothing when it has the newest.
    behind: Option<Timestamp>,
}

impl Has {
    /// Notes which tables are the newest.
    fn newest(&mut self, current: Generation, now: Timestamp) {
        self.behind = (self.generation < current).then(|| self.behind.unwrap_or(now));
    }
}

#[derive(Debug, Clone, Copy)]
struct Left {
    at: Generation,
    since: Option<Timestamp>,
}

impl Tracker {
    /// The generation that was published last.
    #[must_use]
    pub fn current(&self) -> Generation {
        self.current
    }

    /// Notes that tables with these instances were published.
    pub fn publish(
        &mut self,
        generation: Generation,
        serving: &BTreeSet<InstanceId>,
        now: Timestamp,
    ) {
        self.current = generation;
        self.hosts.values_mut().for_each(|has| has.newest(generation, now));
        self.first.get_or_insert(Left { at: generation, since: None });
        let gone: Vec<InstanceId> =
            self.entered.keys().filter(|id| !serving.contains(*id)).cloned().collect();
        for instance in gone {
            self.entered.remove(&instance);
            self.left.insert(instance, Left { at: generation, since: None });
        }
        for instance in serving {
            self.left.remove(instance);
            self.entered.entry(instance.clone()).or_insert(generation);
        }
        self.settle(now);
    }

    /// Sets which hosts have to acknowledge: those not taken for dead.
    pub fn set_hosts<'a>(&mut self, hosts: impl IntoIterator<Item = &'a HostId>, now: Timestamp) {
        let known = std::mem::take(&mut self.hosts);
        self.hosts = hosts
            .into_iter()
            .map(|host| (host.clone(), known.get(host).copied().unwrap_or_default()))
            .collect();
        self.hosts.values_mut().for_each(|has| has.newest(self.current, now));
        self.settle(now);
    }

    /// Notes what a host has in place.
    pub fn acknowledge(&mut self, host: &HostId, has: Acknowledge, now: Timestamp) {
        if let Some(known) = self.hosts.get_mut(host) {
            let generation = has.ingress.map_or(has.network, |ingress| ingress.min(has.network));
            if generation > known.generation {
                // It goes on taking what comes.
                known.behind = None;
            }
            known.generation = generation;
            known.newest(self.current, now);
            self.settle(now);
        }
    }

    /// The generation that every host has.
    fn floor(&self) -> Generation {
        self.hosts.values().map(|has| has.generation).min().unwrap_or(self.current)
    }

    fn settle(&mut self, now: Timestamp) {
        let floor = self.floor();
        for left in self.left.values_mut().chain(self.first.as_mut()) {
            // A host that comes back has what it had, and routes by that until it has more.
            left.since = (left.at <= floor).then(|| left.since.unwrap_or(now));
        }
    }

    /// Those that every host has in its tables.
    #[must_use]
    pub fn in_service(&self) -> BTreeSet<InstanceId> {
        let floor = self.floor();
        let has = |entered: &Generation| *entered <= floor;
        self.entered.iter().filter(|(_, at)| has(at)).map(|(id, _)| id.clone()).collect()
    }

    /// Those of `asked` that no host has had in its tables for [`SETTLE`], and when to ask again.
    #[must_use]
    pub fn out_of_service<'a>(
        &self,
        asked: impl IntoIterator<Item = &'a InstanceId>,
        now: Timestamp,
    ) -> (BTreeSet<InstanceId>, Option<Timestamp>) {
        let mut out = BTreeSet::new();
        let mut wake: Option<Timestamp> = None;
        for instance in asked {
            let left = self.left.get(instance).or(self.first.as_ref());
            let Some(since) = left.and_then(|left| left.since) else { continue };
            if self.entered.contains_key(instance) {
                continue;
            }
            let settled = since.after(SETTLE);
            if settled <= now {
                out.insert(instance.clone());
            } else {
                wake = Some(wake.map_or(settled, |wake| wake.min(settled)));
            }
        }
        (out, wake)
    }

    /// Forgets instances that exist no more.
    pub fn retain(&mut self, exists: impl Fn(&InstanceId) -> bool) {
        self.left.retain(|instance, _| exists(instance));
    }

    /// Hosts that have been behind for [`LAGGARD`] without taking any tables, and since when; and
    /// when the next would be one.
    #[must_use]
    pub fn laggards(&self, now: Timestamp) -> (Vec<(HostId, Timestamp)>, Option<Timestamp>) {
        let behind = self.hosts.iter().filter_map(|(host, has)| Some((host, has.behind?)));
        let (late, soon): (Vec<_>, Vec<_>) =
            behind.partition(|(_, since)| since.after(LAGGARD) <= now);
        let next = soon.iter().map(|(_, since)| since.after(LAGGARD)).min();
        (late.into_iter().map(|(host, since)| (host.clone(), since)).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use api::id::{AppName, EnvironmentName};

    use super::*;

    fn id(number: u64) -> InstanceId {
        let app = AppName::new("a").unwrap();
        InstanceId::compose(&app, &EnvironmentName::new("e").unwrap(), number)
    }

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    fn has(generation: u64) -> Acknowledge {
        Acknowledge { network: Generation(generation), ingress: None }
    }

    fn out(tracker: &Tracker, instance: &InstanceId, now: i64) -> bool {
        tracker.out_of_service([instance], Timestamp(now)).0.contains(instance)
    }

    #[test]
    fn an_instance_serves_when_the_last_host_has_it_and_ends_half_a_second_after_none_has() {
        let mut tracker = Tracker::default();
        let (a, b) = (host("a"), host("b"));
        tracker.set_hosts([&a, &b], Timestamp(0));
        tracker.publish(Generation(1), &BTreeSet::from([id(1)]), Timestamp(0));
        tracker.acknowledge(&a, has(1), Timestamp(10));
        assert!(tracker.in_service().is_empty());
        tracker.acknowledge(&b, has(1), Timestamp(20));
        assert_eq!(tracker.in_service(), BTreeSet::from([id(1)]));

        tracker.publish(Generation(2), &BTreeSet::new(), Timestamp(100));
        tracker.acknowledge(&a, has(2), Timestamp(110));
        assert!(!out(&tracker, &id(1), 5000), "b may still send to it");
        let (_, wake) = tracker.out_of_service([&id(1)], Timestamp(200));
        assert_eq!(wake, None);
        tracker.acknowledge(&b, has(2), Timestamp(200));
        assert!(!out(&tracker, &id(1), 699));
        assert_eq!(tracker.out_of_service([&id(1)], Timestamp(300)).1, Some(Timestamp(700)));
        assert!(out(&tracker, &id(1), 700));
    }

    #[test]
    fn the_ingress_counts_too_and_a_dead_host_does_not() {
        let mut tracker = Tracker::default();
        let (a, b) = (host("a"), host("b"));
        tracker.set_hosts([&a, &b], Timestamp(0));
        tracker.publish(Generation(5), &BTreeSet::from([id(1)]), Timestamp(0));
        let slow = Acknowledge { network: Generation(5), ingress: Some(Generation(4)) };
        tracker.acknowledge(&a, slow, Timestamp(1));
        tracker.set_hosts([&a], Timestamp(2));
        assert!(tracker.in_service().is_empty());
        // It took something at 1, though not the newest.
        assert_eq!(tracker.laggards(Timestamp(5000)), (vec![], Some(Timestamp(5001))));
        assert_eq!(tracker.laggards(Timestamp(5001)), (vec![(a.clone(), Timestamp(1))], None));
        tracker.acknowledge(&a, has(5), Timestamp(3));
        assert_eq!(tracker.in_service().len(), 1);
        assert_eq!(tracker.laggards(Timestamp(9000)), (vec![], None));
    }

    #[test]
    fn a_laggard_is_named_however_often_tables_change_and_one_that_keeps_up_is_not() {
        let mut tracker = Tracker::default();
        let (slow, stuck) = (host("slow"), host("stuck"));
        tracker.set_hosts([&slow, &stuck], Timestamp(0));
        for second in 1..=20u64 {
            let now = Timestamp(i64::try_from(second * 1000).unwrap());
            tracker.publish(Generation(second), &BTreeSet::new(), now);
            tracker.set_hosts([&slow, &stuck], now);
            // Always one behind, but never for long.
            tracker.acknowledge(&slow, has(second - 1), now);
            let named = tracker.laggards(now).0;
            let expected = (second >= 6).then(|| (stuck.clone(), Timestamp(1000)));
            assert_eq!(named, expected.into_iter().collect::<Vec<_>>(), "after {second} s");
        }
        tracker.acknowledge(&stuck, has(20), Timestamp(30_000));
        assert!(tracker.laggards(Timestamp(60_000)).0.iter().all(|(host, _)| *host == slow));
    }

    #[test]
    fn a_new_leader_waits_for_its_first_tables_everywhere() {
        let mut tracker = Tracker::default();
        let a = host("a");
        tracker.set_hosts([&a], Timestamp(0));
        assert!(!out(&tracker, &id(9), 10_000), "nothing is known yet");
        tracker.publish(Generation(7), &BTreeSet::new(), Timestamp(0));
        assert!(!out(&tracker, &id(9), 10_000));
        tracker.acknowledge(&a, has(7), Timestamp(100));
        assert!(!out(&tracker, &id(9), 599));
        assert!(out(&tracker, &id(9), 600));
    }

    #[test]
    fn what_a_host_that_comes_back_may_still_have_is_not_out() {
        let mut tracker = Tracker::default();
        let (a, b) = (host("a"), host("b"));
        tracker.set_hosts([&a, &b], Timestamp(0));
        tracker.publish(Generation(1), &BTreeSet::from([id(1)]), Timestamp(0));
        tracker.acknowledge(&a, has(1), Timestamp(10));
        tracker.acknowledge(&b, has(1), Timestamp(10));
        // While b is dead its instance leaves the tables.
        tracker.set_hosts([&a], Timestamp(2000));
        tracker.publish(Generation(2), &BTreeSet::new(), Timestamp(2000));
        tracker.acknowledge(&a, has(2), Timestamp(2010));
        assert!(out(&tracker, &id(1), 9000));
        for instance in [id(1), id(7)] {
            let mut tracker = tracker.clone();
            tracker.set_hosts([&a, &b], Timestamp(10_000));
            tracker.acknowledge(&b, has(if instance == id(1) { 1 } else { 0 }), Timestamp(10_000));
            assert!(!out(&tracker, &instance, 20_000), "b may send to {instance}");
            tracker.acknowledge(&b, has(2), Timestamp(20_000));
            assert!(!out(&tracker, &instance, 20_499));
            assert!(out(&tracker, &instance, 20_500));
        }
    }

    #[test]
    fn one_that_comes_back_into_service_is_not_out() {
        let mut tracker = Tracker::default();
        tracker.publish(Generation(1), &BTreeSet::from([id(1)]), Timestamp(0));
        tracker.publish(Generation(2), &BTreeSet::new(), Timestamp(0));
        tracker.publish(Generation(3), &BTreeSet::from([id(1)]), Timestamp(0));
        assert!(!out(&tracker, &id(1), 10_000));
        assert_eq!(tracker.in_service(), BTreeSet::from([id(1)]));
    }
}
