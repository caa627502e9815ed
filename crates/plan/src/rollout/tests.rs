//! The rollout rules over every tiny world, and to their end under a scheduler that may delay, kill
//! and revive at will.

use api::id::{AppName, EnvironmentName};
use proptest::prelude::*;

use super::*;

const OLD: ReleaseNumber = ReleaseNumber(1);
const NEW: ReleaseNumber = ReleaseNumber(2);

fn id(number: u64) -> InstanceId {
    let app = AppName::new("a").unwrap();
    InstanceId::compose(&app, &EnvironmentName::new("e").unwrap(), number)
}

fn slot(number: u64, release: ReleaseNumber, wanted: Wanted, in_service: bool) -> Slot {
    Slot {
        instance: id(number),
        release,
        wanted,
        healthy: in_service,
        in_service,
        must_move: false,
        ill: false,
        crowd: Vec::new(),
    }
}

/// What must hold of a step in any world.
fn check(goal: &Goal, slots: &[Slot], step: &Step) {
    let total = slots.len() + step.add.len();
    assert!(
        step.add.is_empty() || total as u32 <= goal.instances + goal.surge,
        "{total} for {goal:?}: {slots:?} {step:?}"
    );
    let floor = goal.instances.saturating_sub(goal.max_unavailable) as usize;
    let serving = |slot: &&Slot| slot.wanted == Wanted::Run && slot.in_service;
    let before = slots.iter().filter(serving).count();
    let after = slots.iter().filter(serving).filter(|s| !step.drain.contains(&s.instance)).count();
    assert!(after >= before.min(floor), "{before} -> {after}: {goal:?} {slots:?} {step:?}");
    for instance in &step.drain {
        let slot = slots.iter().find(|slot| slot.instance == *instance).expect("a known one");
        assert!(!slot.healthy || after >= floor, "{after} stay: {goal:?} {slots:?} {step:?}");
        assert_eq!(slot.wanted, Wanted::Run, "drained twice: {slots:?} {step:?}");
    }
}

/// Every combination of up to four instances (release × wanted × in service × must move) and every
/// small goal.
#[test]
fn every_tiny_world_keeps_the_bounds() {
    let mut kinds = Vec::new();
    for release in [OLD, NEW] {
        for (wanted, (healthy, in_service), must_move, ill, crowd) in [
            (Wanted::Run, (true, true), false, false, 1),
            (Wanted::Run, (true, true), false, false, 2),
            (Wanted::Run, (true, false), false, false, 1),
            (Wanted::Run, (false, false), false, false, 2),
            (Wanted::Run, (false, false), false, true, 1),
            (Wanted::Run, (true, true), true, false, 1),
            (Wanted::Drain, (true, true), false, false, 1),
            (Wanted::Stop, (false, false), false, false, 1),
        ] {
            kinds.push((release, wanted, (healthy, in_service), must_move, ill, crowd));
        }
    }
    let mut worlds = 0u32;
    for size in 0..=4usize {
        for code in 0..kinds.len().pow(size as u32) {
            let slots: Vec<Slot> = (0..size)
                .map(|i| {
                    let (release, wanted, (healthy, in_service), must_move, ill, crowd) =
                        kinds[code / kinds.len().pow(i as u32) % kinds.len()];
                    let crowd = vec![crowd];
                    let slot = slot(i as u64, release, wanted, in_service);
                    Slot { healthy, must_move, ill, crowd, ..slot }
                })
                .collect();
            for instances in 0..=3 {
                for (surge, max_unavailable) in [(1, 0), (0, 1), (1, 1), (2, 0)] {
                    let goal = Goal { release: NEW, instances, surge, max_unavailable };
                    check(&goal, &slots, &step(Some(&goal), &slots));
                    worlds += 1;
                }
            }
        }
    }
    assert!(worlds > 100_000, "{worlds}");
}

#[test]
fn a_release_that_never_works_costs_no_old_instance() {
    let goal = Goal { release: NEW, instances: 3, surge: 1, max_unavailable: 0 };
    let mut slots: Vec<Slot> = (0..3).map(|n| slot(n, OLD, Wanted::Run, true)).collect();
    assert_eq!(step(Some(&goal), &slots).add.len(), 1);
    slots.push(slot(9, NEW, Wanted::Run, false));
    assert_eq!(step(Some(&goal), &slots), Step::default());
    // And going back drains only the new one.
    let back = Goal { release: OLD, ..goal };
    assert_eq!(step(Some(&back), &slots), Step { add: vec![], drain: vec![id(9)] });
}

#[test]
fn of_too_many_the_worst_placed_leaves_when_the_others_are_enough() {
    let goal = Goal { release: NEW, instances: 2, surge: 1, max_unavailable: 0 };
    let at = |n, crowd: [u32; 2], in_service| Slot {
        crowd: crowd.into(),
        ..slot(n, NEW, Wanted::Run, in_service)
    };
    let mut slots = [at(1, [2, 1], true), at(2, [2, 2], true), at(3, [1, 1], false)];
    assert_eq!(step(Some(&goal), &slots), Step::default(), "the third is waited for");
    slots[2].in_service = true;
    assert_eq!(step(Some(&goal), &slots).drain, [id(2)]);
    slots[2].in_service = false;
    slots[2].ill = true;
    assert_eq!(step(Some(&goal), &slots).drain, [id(3)]);
}

#[test]
fn without_a_goal_everything_leaves() {
    let slots = [slot(1, OLD, Wanted::Run, true), slot(2, OLD, Wanted::Drain, true)];
    assert_eq!(step(None, &slots).drain, [id(1)]);
}

#[test]
fn an_old_instance_that_never_recovers_does_not_block_the_rollout() {
    let goal = Goal { release: NEW, instances: 2, surge: 1, max_unavailable: 0 };
    let slots = [
        slot(1, OLD, Wanted::Run, true),
        slot(2, OLD, Wanted::Run, false),
        slot(3, NEW, Wanted::Run, true),
    ];
    assert_eq!(step(Some(&goal), &slots).drain, [id(2)]);
}

#[derive(Debug, Clone)]
struct Life {
    seed: Vec<u8>,
    goal: Goal,
    old: u32,
}

fn lives() -> impl Strategy<Value = Life> {
    (prop::collection::vec(any::<u8>(), 1..60), 0u32..6, 0u32..3, 0u32..3, 0u32..6)
        .prop_filter("some room to move", |(_, _, surge, unavailable, _)| surge + unavailable > 0)
        .prop_map(|(seed, instances, surge, max_unavailable, old)| Life {
            seed,
            goal: Goal { release: NEW, instances, surge, max_unavailable },
            old,
        })
}

/// Lets the world go on: plan, then things happen. While `chaos` lasts instances fall ill at
/// random.
fn live(life: &Life) -> Vec<Slot> {
    let mut slots: Vec<Slot> =
        (0..life.old).map(|n| slot(u64::from(n), OLD, Wanted::Run, true)).collect();
    let mut next = 100;
    let chaos = life.seed.iter().copied();
    for byte in chaos.chain(std::iter::repeat_n(0xff, 200)) {
        let goal = &life.goal;
        let step = step(Some(goal), &slots);
        check(goal, &slots, &step);
        for slot in &mut slots {
            if step.drain.contains(&slot.instance) {
                slot.wanted = Wanted::Drain;
            }
        }
        for _ in step.add {
            slots.push(slot(next, NEW, Wanted::Run, false));
            next += 1;
        }
        for (i, slot) in slots.iter_mut().enumerate() {
            let happens = byte >> (i % 8) & 1 == 1;
            match slot.wanted {
                Wanted::Run if byte == 0xff => slot.in_service = true,
                Wanted::Run if happens => slot.in_service = !slot.in_service,
                Wanted::Drain if happens => slot.wanted = Wanted::Stop,
                _ => {}
            }
        }
        if byte & 1 == 1 {
            slots.retain(|slot| slot.wanted != Wanted::Stop);
        }
    }
    slots
}

proptest! {
    #[test]
    fn when_things_calm_down_exactly_the_wanted_instances_run(life in lives()) {
        let slots = live(&life);
        prop_assert_eq!(slots.len() as u32, life.goal.instances, "{:?}", slots);
        prop_assert!(slots.iter().all(|s| s.release == NEW && s.wanted == Wanted::Run));
    }
}
