//! One run: a world from its begin to its end, and whether all held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki::Keyring;

use super::fault::{Action, Faults};
use super::planted::Planted;
use super::shape::Shape;
use super::workload::Request;
use super::world::{TURN, What, World};

/// When faults may begin, when all have ended, and how long convergence may take then, in
/// milliseconds.
pub(super) const FAULTS_FROM: u64 = 30_000;
pub(super) const CALM_FROM: u64 = 480_000;
const CONVERGED_WITHIN: u64 = 90_000;

/// The end: at least ten minutes.
const END: u64 = 600_000;

/// How often it is looked who is healthy.
const LOOK_EVERY: u64 = 100;

/// What a run is to be.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Decides all that is left to chance.
    pub seed: u64,
    /// A known bug that is put in.
    pub planted: Option<Planted>,
    /// Whether what happens is kept as text.
    pub trace: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold; empty when all did.
    pub violations: Vec<String>,
    /// A number that follows from all that happened.
    pub digest: u64,
    /// What happened, where it was kept.
    pub trace: Vec<String>,
    /// How many faults there were.
    pub faults: usize,
}

/// Runs a seed. `keyring` seals what the store keeps.
#[must_use]
pub fn run(settings: Settings, keyring: Arc<Keyring>) -> Outcome {
    let shape = Shape { hosts: 6, servers: 3, hypervisors: 3 };
    let mut world = World::new(shape, settings.seed, keyring, settings.trace);
    world.planted = settings.planted;
    let plan = world.faults.take_plan();
    let faults = plan.len();
    for (at, fault) in plan {
        world.after(at, What::Act(Action::Begin(fault)));
    }
    world.after(8_000, What::Client);
    world.after(CALM_FROM, What::Act(Action::Calm));
    let mut converged = None;
    while world.now < END && world.check.violations.is_empty() {
        world.turn();
        if world.now.is_multiple_of(LOOK_EVERY) {
            Faults::look(&mut world);
            world.look_at_containers();
        }
        if settings.planted == Some(Planted::StopsWhenAlone) {
            world.stop_the_lonely();
        }
        if world.now > CALM_FROM && world.now.is_multiple_of(1_000) {
            match missing(&world) {
                None => _ = converged.get_or_insert(world.now),
                Some(_) => converged = None,
            }
            if world.now >= CALM_FROM + CONVERGED_WITHIN
                && let Some(missing) = missing(&world)
            {
                world.violation(&format!("not as it should be: {missing}"));
            }
        }
    }
    if let Some(at) = converged {
        world.trace.note(at, "all is as it should be");
    }
    debug_assert!(world.now.is_multiple_of(TURN), "turns are whole");
    let violations = world.check.violations.clone();
    let digest = world.trace.digest();
    Outcome { violations, digest, trace: world.trace.into_lines(), faults }
}

/// What is not as the client was promised; none when all is.
fn missing(world: &World) -> Option<String> {
    let mut running: BTreeMap<String, BTreeSet<(u32, String)>> = BTreeMap::new();
    let mut ill = Vec::new();
    for machine in &world.machines {
        machine.each(|name, container| {
            let entry = &container.entry;
            if container.dead.is_none() {
                let at = running.entry(entry.app.to_string()).or_default();
                at.insert((entry.release.0, name.to_owned()));
                if container.healthy_at > world.now {
                    ill.push(name.to_owned());
                }
            }
        });
    }
    if let Some(ill) = ill.first() {
        return Some(format!("{ill} is not healthy"));
    }
    for (app, wish) in &world.client.wishes {
        let here = running.remove(app).unwrap_or_default();
        let is = actual(world, app);
        let wanted: Vec<&Request> = wish.acknowledged.iter().chain(&wish.open).collect();
        let untouched = wish.acknowledged.is_none() && is.is_none();
        let kept = untouched || wanted.iter().any(|request| fits(request, is.as_ref()));
        if !kept {
            return Some(format!("{app} is {is:?}, promised was {wish:?}"));
        }
        let instances = is.as_ref().map_or(0, |is| is.instances as usize);
        let of_release = is.as_ref().map(|is| is.release);
        let right = here.iter().all(|(release, _)| Some(*release) == of_release);
        if here.len() != instances || !right {
            return Some(format!("{app} should be {is:?} and {here:?} run"));
        }
        if let Some(is) = is.filter(|is| !is.calm) {
            return Some(format!("{app} is not rolled out: {is:?}"));
        }
    }
    running.keys().next().map(|app| format!("{app} runs and nobody asked for it"))
}

/// What the store says of an app.
#[derive(Debug)]
struct Actual {
    image: String,
    /// How many were asked for; another release may run after this one failed.
    asked: u32,
    instances: u32,
    release: u32,
    calm: bool,
}

fn actual(world: &World, app: &str) -> Option<Actual> {
    let check = &world.check;
    let (_, deployment) = check.deployments.iter().find(|((_, name), _)| name.as_str() == app)?;
    let wanted = deployment.wanted_release()?;
    let of = |number: u32| {
        let release = check.releases.get(&(deployment.app.clone(), number))?;
        Some((release, release.manifest.resolve(&deployment.environment).ok()?))
    };
    let (_, spec) = of(wanted.0)?;
    // One that did not become healthy in time is kept, and rolled back.
    let (asked, asked_spec) = of(deployment.release.0)?;
    Some(Actual {
        image: asked.image.digest.to_string(),
        asked: asked_spec.scale.instances,
        instances: spec.scale.instances,
        release: wanted.0,
        calm: deployment.phase.is_final(),
    })
}

/// Whether what is there is what was asked for.
fn fits(request: &Request, is: Option<&Actual>) -> bool {
    match (request, is) {
        (Request::Remove { .. }, is) => is.is_none(),
        (Request::Deploy { .. }, None) => false,
        (Request::Deploy { image, instances, .. }, Some(is)) => {
            let digest = image::Digest::of(image.to_string().as_bytes()).to_string();
            is.image == digest && is.asked == *instances
        }
    }
}
