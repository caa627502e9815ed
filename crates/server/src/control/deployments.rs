//! Looks after deployments that ended: fetches the last log lines of the instance that made one
//! fail, and removes apps that run nowhere any more.

use std::sync::Arc;
use std::time::Duration;

use api::deployment::{Deployment, Phase};
use api::error::ErrorCode;
use api::id::{HostId, InstanceId};
use async_trait::async_trait;
use store::Revision;
use tokio::sync::watch;

use super::driver::Controller;
use crate::core::{Change, Core, Term, View};

const PERIOD: Duration = Duration::from_secs(10);

/// The log lines that are kept with a deployment that failed.
const LAST_LINES: u32 = 20;

/// Looks after deployments that ended.
pub(super) struct Deployments {
    term: Term,
    changes: Option<watch::Receiver<Revision>>,
    /// Failed instances whose logs were asked for: once is enough.
    asked: std::collections::BTreeSet<InstanceId>,
    /// Apps seen with a deployment that is being removed.
    leaving: std::collections::BTreeSet<api::id::AppName>,
}

impl Deployments {
    pub(super) fn new(term: Term) -> Self {
        Self { term, changes: None, asked: Default::default(), leaving: Default::default() }
    }
}

#[async_trait]
impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployments"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, core: &Core) {
        let changes = self.changes.get_or_insert_with(|| core.cache.changes());
        let _ = changes.changed().await;
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        let view = core.view();
        let mut done = Vec::new();
        for row in view.deployments.values() {
            if let Some(instance) = &row.failed_instance
                && row.last_log_lines.is_empty()
                && !self.asked.contains(instance)
            {
                self.asked.insert(instance.clone());
                let lines = last_lines(core, &view, instance).await;
                if !lines.is_empty() {
                    keep(core, &self.term, &row.document.body, lines).await?;
                    done.push(format!("kept the last lines of {instance}"));
                }
            }
            if row.phase == Phase::Removing {
                self.leaving.insert(row.app.clone());
            }
        }
        let gone =
            self.leaving.iter().filter(|app| view.deployments.values().all(|row| row.app != **app));
        for app in gone.cloned().collect::<Vec<_>>() {
            core.forget_app(&view, &app, Some(&self.term))
                .await
                .map_err(|error| error.to_string())?;
            self.leaving.remove(&app);
            done.push(format!("removed {app}"));
        }
        self.asked.retain(|instance| {
            view.deployments.values().any(|row| row.failed_instance.as_ref() == Some(instance))
        });
        Ok(done.join(", "))
    }
}

/// The instance's last lines, from the host that has it or, when it is gone, from whoever had it.
async fn last_lines(core: &Arc<Core>, view: &View, instance: &InstanceId) -> Vec<String> {
    let home = view.assignments.values().find(|a| a.entry(instance).is_some());
    let hosts: Vec<HostId> = match home {
        Some(assignment) => vec![assignment.host.clone()],
        None => core.agents.gathered.connected(),
    };
    for host in hosts {
        let lines = core.last_lines(&host, instance, LAST_LINES).await;
        if !lines.is_empty() {
            return lines.into_iter().map(|line| line.text).collect();
        }
    }
    Vec::new()
}

/// Adds the lines to the deployment, unless a later one took its place.
async fn keep(
    core: &Core,
    term: &Term,
    failed: &Deployment,
    lines: Vec<String>,
) -> Result<(), String> {
    loop {
        let view = core.view();
        let Some(row) = view.deployment(&failed.environment, &failed.app) else { return Ok(()) };
        if row.number != failed.number {
            return Ok(());
        }
        let mut deployment = row.document.body.clone();
        deployment.last_log_lines.clone_from(&lines);
        match core.commit(Change::new().update(row, deployment).when(term.fence())).await {
            Err(error) if error.code == ErrorCode::Conflict => {
                core.wait_for(Revision(view.revision.0 + 1)).await;
            }
            Err(error) => return Err(error.to_string()),
            Ok(_) => return Ok(()),
        }
    }
}
