//! Apps, their releases, and what runs of them.

use api::app::App;
use api::deployment::Deployment;
use api::error::{ApiError, ErrorCode};
use api::id::{AppName, EnvironmentName, ReleaseNumber};
use api::instance::Instance;
use api::operation::{
    AppStatus, DeployAnswer, DeployRequest, PromoteRequest, RollbackRequest, RouteView,
};
use api::release::Release;
use schemars::JsonSchema;
use serde::Deserialize;

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::takes::{Json, Query};
use crate::core::View;

/// Which instances are listed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct InstanceQuery {
    /// Only of this app.
    app: Option<AppName>,
    /// Only of this environment.
    environment: Option<EnvironmentName>,
}

pub(super) async fn list(call: Call) -> Result<Shows<Vec<App>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.apps.values().map(|row| row.document.body.clone()).collect()))
}

pub(super) async fn show(call: Call) -> Result<Shows<App>, ApiError> {
    let name = call.segment("app")?;
    known(&call.core.view(), &name).map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    call.core.remove_app(&call.caller, &call.segment("app")?).await?;
    Ok(Done)
}

pub(super) async fn releases(call: Call) -> Result<Shows<Vec<Release>>, ApiError> {
    let (name, view) = (call.segment("app")?, call.core.view());
    known(&view, &name)?;
    Ok(shows(view.releases_of(&name).map(|row| row.document.body.clone()).collect()))
}

pub(super) async fn release(call: Call) -> Result<Shows<Release>, ApiError> {
    let (name, view): (AppName, _) = (call.segment("app")?, call.core.view());
    known(&view, &name)?;
    let text: String = call.segment("number")?;
    let number = text.parse().map(ReleaseNumber).map_err(|_| {
        let message = format!("{text:?} is not the number of a release");
        ApiError::new(ErrorCode::Invalid, message)
    })?;
    match view.release(&name, number) {
        Some(row) => Ok(shows(row.document.body.clone())),
        None => {
            let message = format!("app {name} has no release {number}");
            let hint = format!("freehold release list {name}");
            Err(ApiError::new(ErrorCode::NotFound, message).hint(hint))
        }
    }
}

pub(super) async fn deploy(
    call: Call<Json<DeployRequest>>,
) -> Result<Shows<DeployAnswer>, ApiError> {
    call.core.deploy(&call.caller, call.body.value).await.map(shows)
}

pub(super) async fn promote(
    call: Call<Json<PromoteRequest>>,
) -> Result<Shows<DeployAnswer>, ApiError> {
    let name = call.segment("app")?;
    call.core.promote(&call.caller, &name, call.body.value).await.map(shows)
}

pub(super) async fn rollback(
    call: Call<Json<RollbackRequest>>,
) -> Result<Shows<DeployAnswer>, ApiError> {
    let name = call.segment("app")?;
    call.core.rollback(&call.caller, &name, call.body.value).await.map(shows)
}

pub(super) async fn status(call: Call) -> Result<Shows<Vec<AppStatus>>, ApiError> {
    call.core.show_status(&call.segment("app")?).await.map(shows)
}

pub(super) async fn instances(
    call: Call<(), Query<InstanceQuery>>,
) -> Result<Shows<Vec<Instance>>, ApiError> {
    let InstanceQuery { app, environment } = call.query.0;
    Ok(shows(call.core.instances(app.as_ref(), environment.as_ref())))
}

pub(super) async fn deployments(call: Call) -> Result<Shows<Vec<Deployment>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.deployments.values().map(|row| row.document.body.clone()).collect()))
}

pub(super) async fn routes(call: Call) -> Result<Shows<Vec<RouteView>>, ApiError> {
    Ok(shows(call.core.routes()))
}

fn known(view: &View, name: &AppName) -> Result<App, ApiError> {
    if let Some(row) = view.apps.get(name.as_str()) {
        return Ok(row.document.body.clone());
    }
    let names = view.apps.keys().map(String::as_str);
    let near = api::id::near_names(name.as_str(), names).join(", ");
    let error = ApiError::new(ErrorCode::NotFound, format!("there is no app {name}"));
    Err(if near.is_empty() {
        error.hint("freehold app list")
    } else {
        error.hint(format!("did you mean {near}?"))
    })
}
