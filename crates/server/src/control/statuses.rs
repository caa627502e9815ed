//! Writes hosts' reports into the store, at most every 200 ms, and records deaths as events. The
//! planner does not wait for this: it reads the reports as they come. Every server writes those of
//! the hosts that it heard last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::id::HostId;
use api::status::{HostStatus, InstanceState, InstanceStatus};
use async_trait::async_trait;

use super::driver::Controller;
use crate::core::{Change, Core, View};

/// How often changed reports are written.
const PERIOD: Duration = Duration::from_millis(200);

/// Writes reports.
#[derive(Default)]
pub(super) struct Statuses {
    written: BTreeMap<HostId, Arc<HostStatus>>,
}

#[async_trait]
impl Controller for Statuses {
    fn name(&self) -> &'static str {
        "statuses"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        std::future::pending().await
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        let mut written = 0;
        for (host, status) in core.agents.gathered.own_statuses() {
            let before = self.written.get(&host);
            if before.is_some_and(|before| Arc::ptr_eq(before, &status) || *before == status) {
                continue;
            }
            let view = core.view();
            if core.removed_host(&host).is_some() {
                continue;
            }
            let row = view.statuses.get(host.as_str());
            let stored = before.map(AsRef::as_ref).or(row.map(|row| &row.document.body));
            tell(core, &view, stored, &status);
            if stored != Some(&*status) {
                let change = Change::new().put(row.map(AsRef::as_ref), &HostStatus::clone(&status));
                core.commit(change).await.map_err(|error| error.to_string())?;
                written += 1;
            }
            self.written.insert(host, status);
        }
        Ok(if written == 0 { String::new() } else { format!("{written} reports written") })
    }
}

/// Records what became of instances since the report before.
fn tell(core: &Core, view: &View, before: Option<&HostStatus>, after: &HostStatus) {
    for status in &after.instances {
        let earlier = before.and_then(|before| {
            before.instances.iter().find(|earlier| earlier.instance == status.instance)
        });
        let died = status.last_exit.is_some()
            && status.last_exit != earlier.and_then(|earlier| earlier.last_exit.clone());
        if let (true, Some(exit)) = (died, &status.last_exit) {
            let message = format!("{} died: {}", status.instance, exit.cause);
            record(core, view, after, status, "instance.died", message);
        }
        let healthy = status.state == InstanceState::Healthy
            && earlier.is_none_or(|earlier| earlier.state != InstanceState::Healthy);
        if healthy {
            let message = format!("{} is healthy", status.instance);
            record(core, view, after, status, "instance.healthy", message);
        }
    }
}

fn record(
    core: &Core,
    view: &View,
    host: &HostStatus,
    status: &InstanceStatus,
    kind: &str,
    message: String,
) {
    let assignment = view.assignments.get(host.host.as_str());
    let entry = assignment.and_then(|assignment| assignment.entry(&status.instance));
    core.events.record(Event {
        at: core.now(),
        kind: kind.to_owned(),
        app: entry.map(|entry| entry.app.clone()),
        environment: entry.map(|entry| entry.environment.clone()),
        release: entry.map(|entry| entry.release),
        instance: Some(status.instance.clone()),
        host: Some(host.host.clone()),
        message,
    });
}
