//! What an earlier agent left running.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::status::ExitCause;
use plan::restart::Moment;

use super::work::cause_of;
use crate::runtime::{ContainerId, Phase, Runtime, RuntimeError, Status};
use crate::shim::ExitWatch;

/// How long a container that nobody wants may take to stop.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

/// A container that was found.
#[derive(Debug)]
pub(super) enum Found {
    /// It runs.
    Runs { pid: u32, started: Moment, watch: ExitWatch },
    /// It ended meanwhile, or was never finished.
    Dead(ExitCause),
}

/// All containers there are, by id. Blocks.
pub(super) fn found(runtime: &dyn Runtime) -> Result<BTreeMap<ContainerId, Found>, RuntimeError> {
    let mut all = BTreeMap::new();
    for Status { id, phase, .. } in runtime.list()? {
        let found = match &phase {
            Phase::Running(started) => match runtime.watch_exit(&id) {
                Ok(watch) => Found::Runs { pid: started.pid, started: Moment(started.at.0), watch },
                Err(_) => Found::Dead(ExitCause::Lost),
            },
            _ => Found::Dead(cause_of(&phase)),
        };
        all.insert(id, found);
    }
    Ok(all)
}

/// Stops and deletes a container that is in no assignment. Blocks until it is gone.
pub(super) fn clear(runtime: &Arc<dyn Runtime>, id: &ContainerId, found: Found) {
    tracing::info!(container = %id, "removing a container that is not wanted");
    if let Found::Runs { mut watch, .. } = found {
        let asked = runtime.stop(id, ORPHAN_GRACE);
        if asked.is_ok() {
            let _ = watch.wait(Some(ORPHAN_GRACE));
        }
    }
    if let Err(error) = runtime.delete(id) {
        let error = crate::failure::told(&error);
        tracing::warn!(container = %id, error, "removing a container that is not wanted");
    }
}
