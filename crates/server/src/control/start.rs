//! Starts the controllers of a server.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{Controller, Driver};
use super::{deployments, planner, statuses, upkeep};
use crate::core::{Core, Term};
use crate::oci::Registry;

/// Starts all controllers.
pub fn start(
    core: &Arc<Core>,
    registry: &Arc<Registry>,
    term: Term,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let run = |controller: Box<dyn Controller>| {
        let name = controller.name();
        let run = Driver::run(core.clone(), controller, stop.clone());
        tasks.spawn(async move {
            run.await;
            tracing::debug!(name, "a controller ended");
        });
    };
    run(Box::new(planner::Planner::new(core, term)));
    run(Box::<statuses::Statuses>::default());
    run(Box::<deployments::Deployments>::default());
    run(Box::<upkeep::Upkeep>::default());
    run(Box::new(upkeep::Garbage::new(registry.clone())));
}
