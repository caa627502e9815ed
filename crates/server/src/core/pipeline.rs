//! Finding what a request names: apps, environments, the places of the pipeline.

use api::deployment::Phase;
use api::error::{ApiError, ErrorCode};
use api::id::{AppName, EnvironmentName};

use super::{Caller, Core, View};

impl Core {
    /// Refuses an app that does not exist or whose team the caller may not act for.
    pub(super) fn owned(
        &self,
        view: &View,
        caller: &Caller,
        app: &AppName,
    ) -> Result<(), ApiError> {
        let Some(row) = view.apps.get(app.as_str()) else {
            let known = view.apps.keys().map(String::as_str);
            let near = api::id::near_names(app.as_str(), known).join(", ");
            let error = ApiError::new(ErrorCode::NotFound, format!("there is no app {app}"));
            return Err(if near.is_empty() {
                error.hint("freehold app list")
            } else {
                error.hint(format!("did you mean {near}?"))
            });
        };
        caller.require_team(&row.team)
    }
}

/// How a phase is called in events, as in JSON.
#[must_use]
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Rolling => "rolling",
        Phase::Complete => "complete",
        Phase::RollingBack => "rolling_back",
        Phase::RolledBack => "rolled_back",
        Phase::Failed => "failed",
        Phase::Removing => "removing",
    }
}

pub(super) fn known_environment(
    view: &View,
    name: &EnvironmentName,
) -> Result<EnvironmentName, ApiError> {
    if view.environments.contains_key(name.as_str()) {
        return Ok(name.clone());
    }
    let known: Vec<&str> = view.environments.keys().map(String::as_str).collect();
    Err(ApiError::new(ErrorCode::NotFound, format!("there is no environment {name}"))
        .hint(format!("there are: {}", known.join(", "))))
}

pub(super) fn first_environment(view: &View) -> Result<EnvironmentName, ApiError> {
    let first = view.pipeline().first().map(|stage| stage.name.clone());
    first.ok_or_else(|| {
        ApiError::new(ErrorCode::NotFound, "there is no environment yet")
            .hint("freehold env apply FILE")
    })
}

pub(super) fn last_environment_of(view: &View, app: &AppName) -> Result<EnvironmentName, ApiError> {
    let runs = |stage: &EnvironmentName| view.deployment(stage, app).is_some();
    let last = view.pipeline().iter().rev().map(|stage| stage.name.clone()).find(runs);
    last.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("app {app} runs nowhere")))
}
