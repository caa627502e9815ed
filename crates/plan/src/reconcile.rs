//! From a snapshot to a plan: which documents of which hosts change, which deployments enter
//! another phase, and why. Level-triggered: it decides from present state alone, and on a state
//! that its own plan led to it decides nothing.

mod phase;
mod singleton;
mod spread;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use api::assignment::{Assignment, Entry, Wanted};
use api::deployment::{Deployment, Phase};
use api::id::{AppName, EnvironmentName, HostId, InstanceId, ReleaseNumber};
use api::manifest::Spec;
use api::status::InstanceState;
use api::time::Timestamp;

use crate::place::{Marks, Need, Request};
use crate::report::{AppReport, Blocker, Placed};
use crate::rollout::{self, Goal, Slot, Step};
use crate::snapshot::{Place, Snapshot};

use world::World;

/// A plan, whole: whoever executes it chooses nothing.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Outcome {
    /// One-host writes in the order in which to make them; each is safe alone.
    pub writes: Vec<Assignment>,
    /// Deployments that changed.
    pub deployments: Vec<Deployment>,
    /// Deployments whose document goes.
    pub removed: Vec<Place>,
    /// Service addresses to create.
    pub services: Vec<(Place, std::net::Ipv4Addr)>,
    /// Why each app is as it is.
    pub report: Vec<AppReport>,
    /// How many lost instances are replaced: what the budget of safe mode is spent by.
    pub replaced: u32,
    /// Why new instances stand where they stand.
    pub placed: Vec<Placed>,
    /// When to look again although nothing changes.
    pub wake_at: Option<Timestamp>,
}

impl Outcome {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.deployments.is_empty()
            && self.removed.is_empty()
            && self.services.is_empty()
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }
}

/// Numbers for new instances: a sequence that its seed alone decides.
#[derive(Debug, Clone)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// A sequence; different seeds give different ones.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number: the `SplitMix64` generator (Steele, Lea, Flood 2014).
    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Plans the next step of everything.
pub fn reconcile(snapshot: &Snapshot, now: Timestamp, ids: &mut Ids) -> Outcome {
    let mut outcome = Outcome::default();
    let mut world = World::new(snapshot, now);
    world.tidy();
    world.orphans();
    services(snapshot, &mut outcome);

    let mut places: Vec<&Place> = snapshot.deployments.keys().collect();
    places.sort_by_key(|place| std::cmp::Reverse(priority(snapshot, place)));
    for place in places {
        let deployment = &snapshot.deployments[place];
        let app = App { snapshot, place, deployment, now };
        app.plan(&mut world, ids, &mut outcome);
    }
    outcome.report.sort_by(|a, b| (&a.environment, &a.app).cmp(&(&b.environment, &b.app)));
    outcome.writes = world.writes();
    outcome
}

/// Chooses service addresses for apps that have none yet.
fn services(snapshot: &Snapshot, outcome: &mut Outcome) {
    let mut used: BTreeSet<_> = snapshot.services.values().copied().collect();
    for place in snapshot.deployments.keys().filter(|p| !snapshot.services.contains_key(*p)) {
        if let Some(address) = crate::address::free_service_address(snapshot.service_range, &used) {
            used.insert(address);
            outcome.services.push((place.clone(), address));
        }
    }
}

fn priority(snapshot: &Snapshot, place: &Place) -> u16 {
    let wanted = snapshot.deployments.get(place).and_then(Deployment::wanted_release);
    let spec = wanted.and_then(|release| snapshot.spec(place, release));
    spec.map_or(0, |spec| spec.priority.0)
}

/// One app in one environment, while it is planned.
struct App<'a> {
    snapshot: &'a Snapshot,
    place: &'a Place,
    deployment: &'a Deployment,
    now: Timestamp,
}

impl App<'_> {
    fn plan(&self, world: &mut World, ids: &mut Ids, outcome: &mut Outcome) {
        let slots = self.slots(world);
        let (next, wake) =
            phase::next(self.snapshot, self.place, self.deployment, &slots, self.now);
        if let Some(at) = wake {
            outcome.wake(at);
        }
        let mut deployment = next.unwrap_or_else(|| self.deployment.clone());
        let mut blockers = Vec::new();
        let wanted = deployment.wanted_release();
        let goal = match wanted.map(|release| (release, self.goal(release))) {
            None => None,
            Some((_, Some(goal))) => Some(goal),
            Some((release, None)) => {
                blockers.push(Blocker::NoSpec(release));
                self.report(outcome, Some(release), None, &slots, blockers);
                return;
            }
        };
        let plain: Vec<Slot> = slots.iter().map(|seen| seen.slot.clone()).collect();
        let step = rollout::step(goal.as_ref(), &plain);
        for instance in &step.drain {
            world.leave(instance);
        }
        let calm = deployment.phase.is_final() && step == Step::default();
        let mut add = step.add;
        let epoch = self.next_epoch(goal.as_ref(), world);
        if epoch > 0 && !add.is_empty() {
            // None is there but on hosts that are down.
            if let Some((blocker, at)) = self.may_still_run(world) {
                blockers.push(blocker);
                outcome.wake(at);
                add.clear();
            }
        }
        if let Some(goal) = goal.as_ref().filter(|_| calm) {
            add = self.moves(goal, &slots, world);
        }
        let added = self.add(
            (goal.as_ref(), epoch),
            &add,
            (&slots, calm),
            (world, ids, outcome),
            &mut blockers,
        );
        if let Some(goal) = goal.as_ref().filter(|_| calm && add.is_empty()) {
            blockers.extend(self.uneven(goal, &slots, world));
        }
        if added > 0 {
            deployment.epoch = deployment.epoch.max(epoch);
        }
        if added > 0 && deployment.phase == Phase::Rolling {
            phase::note_assigned(&mut deployment, &slots, added, self.now);
        }
        if deployment.phase == Phase::Removing && slots.is_empty() {
            outcome.removed.push(self.place.clone());
        } else if deployment != *self.deployment {
            outcome.deployments.push(deployment);
        }
        self.report(outcome, wanted, goal.as_ref(), &slots, blockers);
    }

    fn goal(&self, release: ReleaseNumber) -> Option<Goal> {
        let spec = self.snapshot.spec(self.place, release)?;
        Some(Goal {
            release,
            instances: spec.scale.instances,
            surge: spec.rollout.surge,
            max_unavailable: spec.rollout.max_unavailable,
        })
    }

    /// The app's instances on hosts that are not taken for dead, as they are before this plan's
    /// step.
    fn slots(&self, world: &World) -> Vec<phase::Seen> {
        let place = world.number(self.place);
        let entries = world.entries_of(self.place);
        entries
            .into_iter()
            .map(|(host, entry)| {
                let status = self.snapshot.instance_status(&host, &entry.instance);
                let spec = self.snapshot.spec(self.place, entry.release);
                let by = spec.map_or(&[][..], |spec| &spec.spread.by);
                let healthy = status.is_some_and(|s| s.state == InstanceState::Healthy);
                phase::Seen {
                    slot: Slot {
                        instance: entry.instance.clone(),
                        release: entry.release,
                        wanted: entry.wanted,
                        healthy,
                        in_service: self.snapshot.in_service.contains(&entry.instance)
                            && !self.snapshot.suspects.contains(&host)
                            && healthy,
                        must_move: world.must_move(&host) || self.is_superseded(&entry),
                        ill: !healthy && status.is_some_and(|s| s.restarts >= ILL_AFTER),
                        crowd: world.pool.crowds(&host, place, by),
                    },
                    status: status.cloned(),
                    replaces: entry.replaces,
                    host,
                }
            })
            .collect()
    }

    /// Places and adds instances; gives how many found a host.
    fn add(
        &self,
        (goal, epoch): (Option<&Goal>, u32),
        add: &[Option<InstanceId>],
        (slots, calm): (&[phase::Seen], bool),
        (world, ids, outcome): (&mut World, &mut Ids, &mut Outcome),
        blockers: &mut Vec<Blocker>,
    ) -> u32 {
        let Some(goal) = goal else { return 0 };
        let Some(spec) = self.snapshot.spec(self.place, goal.release) else { return 0 };
        let (labels, avoid) = (self.labels(), avoided(goal.release, slots));
        let warm = self.warm(world, goal.release);
        let request = self.request(world, spec, &labels, &avoid, &warm);
        let mut lost = world.lost(self.place).into_iter();
        let mut added = 0;
        for (n, replaces) in add.iter().enumerate() {
            let lost = if replaces.is_none() { lost.next() } else { None };
            if lost.is_some() && world.budget == Some(0) {
                let waiting = u32::try_from(add.len() - n).unwrap_or(u32::MAX);
                blockers.push(Blocker::SafeMode { waiting });
                break;
            }
            // One that is moved only for its place goes where that is better, or stays.
            let moved =
                slots.iter().find(|seen| calm && Some(&seen.slot.instance) == replaces.as_ref());
            let found = match moved {
                Some(seen) => world.pool.better(&seen.host, &request).ok_or(None),
                None => world.pool.find(&request).map_err(Some),
            };
            let found = match found {
                Ok(found) => found,
                Err(why) => {
                    blockers.extend(why.map(|why| Blocker::NoHost(*why)));
                    break;
                }
            };
            let Some(address) = world.free_address(&found.host, self.place) else {
                let subnet = self.snapshot.hosts[&found.host].subnet.to_string();
                blockers.push(Blocker::NoAddress(subnet));
                break;
            };
            let instance = fresh_id(world, &self.place.1, &self.place.0, ids);
            world.add(
                &found.host,
                Entry {
                    instance: instance.clone(),
                    app: self.place.1.clone(),
                    environment: self.place.0.clone(),
                    release: goal.release,
                    wanted: Wanted::Run,
                    address,
                    replaces: replaces.clone().or_else(|| lost.clone()),
                    epoch,
                },
                &request.need,
            );
            outcome.placed.push(Placed {
                instance,
                host: found.host,
                in_domain: found.in_domain,
                on_host: found.on_host,
                avoided: found.avoided,
            });
            added += 1;
            if lost.is_some() {
                outcome.replaced += 1;
                world.budget = world.budget.map(|budget| budget.saturating_sub(1));
            }
        }
        added
    }

    /// The labels that a host must carry.
    fn labels(&self) -> BTreeMap<String, String> {
        let environment = self.snapshot.environments.get(&self.place.0);
        environment.map(|environment| environment.host_labels.clone()).unwrap_or_default()
    }

    /// The hosts that have a release's image.
    fn warm(&self, world: &World, release: ReleaseNumber) -> Marks {
        let image = self.snapshot.images.get(&(self.place.1.clone(), release));
        let holders = image.map(|image| world.holders(&image.digest)).unwrap_or_default();
        world.pool.marks(holders.iter().copied())
    }

    fn request<'b>(
        &self,
        world: &World,
        spec: &'b Spec,
        labels: &'b BTreeMap<String, String>,
        avoid: &'b BTreeSet<HostId>,
        warm: &'b Marks,
    ) -> Request<'b> {
        Request {
            place: world.number(self.place),
            need: Need::of(spec),
            labels,
            by: &spec.spread.by,
            max_skew: spec.spread.max_skew,
            avoid,
            warm,
        }
    }

    fn report(
        &self,
        outcome: &mut Outcome,
        release: Option<ReleaseNumber>,
        goal: Option<&Goal>,
        slots: &[phase::Seen],
        mut blockers: Vec<Blocker>,
    ) {
        let current = |seen: &&phase::Seen| {
            Some(seen.slot.release) == release && seen.slot.wanted == Wanted::Run
        };
        for seen in slots {
            let instance = seen.slot.instance.clone();
            if current(&seen) && !seen.slot.in_service {
                blockers.push(Blocker::Starting { instance, detail: seen.describe() });
            } else if seen.slot.wanted != Wanted::Run {
                let detail = match seen.slot.wanted {
                    Wanted::Stop => "stopping".to_owned(),
                    _ => "draining: waits until no proxy and host sends to it".to_owned(),
                };
                blockers.push(Blocker::Leaving { instance, detail });
            }
        }
        blockers.extend(spread::moving(slots));
        let in_service = slots.iter().filter(|seen| current(seen) && seen.slot.in_service).count();
        outcome.report.push(AppReport {
            environment: self.place.0.clone(),
            app: self.place.1.clone(),
            release,
            wanted: goal.map_or(0, |goal| goal.instances),
            in_service: u32::try_from(in_service).unwrap_or(u32::MAX),
            blockers,
        });
    }
}

/// So many deaths without health between, and an instance counts as ill: the first two may be the
/// host's return or a dependency that was late.
const ILL_AFTER: u32 = 2;

/// Hosts on which an instance of the release died and has not become healthy since.
fn avoided(release: ReleaseNumber, slots: &[phase::Seen]) -> BTreeSet<HostId> {
    let died = slots.iter().filter(|seen| seen.slot.release == release && seen.died_here());
    died.map(|seen| seen.host.clone()).collect()
}

/// An id that no instance of the snapshot and this plan has.
fn fresh_id(
    world: &World,
    app: &AppName,
    environment: &EnvironmentName,
    ids: &mut Ids,
) -> InstanceId {
    loop {
        let id = InstanceId::compose(app, environment, ids.next_number());
        if !world.knows(&id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
