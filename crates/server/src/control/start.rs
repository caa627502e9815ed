//! Starts the controllers: some run on every server, the rest where it leads.

use std::sync::Arc;

use probe::Sockets;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{Controller, Driver};
use super::{
    deployments, handout, leases, liveness, observe, planner, standby, statuses, upkeep,
    watch_store,
};
use crate::authority::Exchange;
use crate::copies::{Follow, Repair, Shared};
use crate::core::{Core, Term};
use crate::oci::Registry;

/// Starts what runs on every server.
pub fn start(
    core: &Arc<Core>,
    sockets: Arc<dyn Sockets>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let run = |controller| spawn(core, controller, tasks, stop);
    run(Box::<statuses::Statuses>::default());
    run(Box::new(handout::Handout::new(core)));
    tasks.spawn(watch_store::run(core.clone(), stop.clone()));
    tasks.spawn(liveness::listen(core.clone(), stop.clone()));
    tasks.spawn(observe::run(core.clone(), sockets, stop.clone()));
}

/// Starts what collects images nobody uses; on every server.
pub fn start_garbage(
    core: &Arc<Core>,
    registry: &Arc<Registry>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    spawn(core, Box::new(upkeep::Garbage::new(registry.clone())), tasks, stop);
}

/// Starts what keeps the registry in step with those of other servers; on every server.
pub fn start_copies(
    core: &Arc<Core>,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    spawn(core, Box::new(Follow::new(shared.clone())), tasks, stop);
    spawn(core, Box::new(Repair::new(shared.clone())), tasks, stop);
}

/// Starts what runs on the leader alone.
pub(super) fn start_leading(
    core: &Arc<Core>,
    term: &Term,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let run = |controller| spawn(core, controller, tasks, stop);
    let (granting, ending) = (leases::run(core.clone(), term.clone()), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = ending.cancelled() => {}
            () = granting => {}
        }
    });
    run(Box::new(planner::Planner::new(core, term.clone())));
    run(Box::new(standby::Warmth::new(core, term.clone())));
    run(Box::new(liveness::Judge::new(core, term.clone())));
    run(Box::new(deployments::Deployments::new(term.clone())));
    run(Box::new(upkeep::Upkeep::new(term.clone())));
    run(Box::new(Exchange::new(core, term.clone())));
}

/// Runs a controller until it is told to stop. It is cut off wherever it is: what it does must be
/// whole after any of its writes, since its server may die there too.
fn spawn(
    core: &Arc<Core>,
    controller: Box<dyn Controller>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let name = controller.name();
    let run = Driver::run(core.clone(), controller, stop.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run => {}
        }
        tracing::debug!(name, "a controller ended");
    });
}
