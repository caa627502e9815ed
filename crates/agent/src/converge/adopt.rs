//! What an earlier agent left running.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::status::ExitCause;
use plan::restart::Moment;
use tokio::task::spawn_blocking;

use super::host::Found;
use super::work::{cause_of, ended};
use crate::runtime::{ContainerId, Phase, Runtime, RuntimeError, Status};

/// How long a container that nobody wants may take to stop.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

/// All containers there are, by id. Blocks.
pub(super) fn found(runtime: &dyn Runtime) -> Result<BTreeMap<ContainerId, Found>, RuntimeError> {
    let mut all = BTreeMap::new();
    for Status { id, phase, .. } in runtime.list()? {
        let found = match &phase {
            Phase::Running(started) => match runtime.watch_exit(&id) {
                Ok(watch) => {
                    let (pid, since) = (started.pid, Moment(started.at.0));
                    Found::Runs { pid, started: since, ended: ended(watch) }
                }
                Err(_) => Found::Dead(ExitCause::Lost),
            },
            _ => Found::Dead(cause_of(&phase)),
        };
        all.insert(id, found);
    }
    Ok(all)
}

/// Stops and deletes a container that is in no assignment.
pub(super) async fn clear(runtime: &Arc<dyn Runtime>, id: ContainerId, found: Found) {
    tracing::info!(container = %id, "removing a container that is not wanted");
    if let Found::Runs { ended, .. } = found {
        let (runtime, id) = (runtime.clone(), id.clone());
        let asked = spawn_blocking(move || runtime.stop(&id, ORPHAN_GRACE)).await;
        if matches!(asked, Ok(Ok(()))) {
            let _ = tokio::time::timeout(ORPHAN_GRACE, ended).await;
        }
    }
    let (runtime, container) = (runtime.clone(), id.clone());
    if let Ok(Err(error)) = spawn_blocking(move || runtime.delete(&container)).await {
        let error = crate::failure::told(&error);
        tracing::warn!(container = %id, error, "removing a container that is not wanted");
    }
}
