//! Environments.

use api::environment::Environment;
use api::error::{ApiError, ErrorCode};
use api::id::EnvironmentName;
use api::operation::EnvironmentRequest;

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::takes::Json;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<Environment>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.pipeline().into_iter().map(|row| row.document.body.clone()).collect()))
}

pub(super) async fn show(call: Call) -> Result<Shows<Environment>, ApiError> {
    let name: EnvironmentName = call.segment("environment")?;
    match call.core.view().environments.get(name.as_str()) {
        Some(row) => Ok(shows(row.document.body.clone())),
        None => Err(ApiError::new(ErrorCode::NotFound, format!("there is no environment {name}"))
            .hint("freehold env list")),
    }
}

pub(super) async fn put(
    call: Call<Json<EnvironmentRequest>>,
) -> Result<Shows<Environment>, ApiError> {
    let name = call.segment("environment")?;
    call.core.put_environment(&name, call.body.value).await.map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    call.core.delete_environment(&call.segment("environment")?).await?;
    Ok(Done)
}
