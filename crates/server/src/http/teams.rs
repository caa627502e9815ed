//! Teams.

use api::error::{ApiError, ErrorCode};
use api::id::TeamName;
use api::operation::TeamRequest;
use api::team::Team;

use super::endpoint::Call;
use super::gives::{Done, Made, Shows, made, shows};
use super::takes::Json;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<Team>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.teams.values().map(|row| row.document.body.clone()).collect()))
}

pub(super) async fn create(call: Call<Json<TeamRequest>>) -> Result<Made<Team>, ApiError> {
    call.core.create_team(call.body.value).await.map(made)
}

pub(super) async fn show(call: Call) -> Result<Shows<Team>, ApiError> {
    let name: TeamName = call.segment("team")?;
    match call.core.view().teams.get(name.as_str()) {
        Some(row) => Ok(shows(row.document.body.clone())),
        None => Err(ApiError::new(ErrorCode::NotFound, format!("there is no team {name}"))
            .hint("freehold team list")),
    }
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    call.core.delete_team(&call.segment("team")?).await?;
    Ok(Done)
}
