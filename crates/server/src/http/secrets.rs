//! Secrets: set and listed, never shown.

use api::error::ApiError;
use api::id::{EnvironmentName, SecretName, TeamName};
use api::operation::SecretRequest;
use api::secret::Secret;

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::shadow;
use super::takes::Json;
use crate::core::StoredSecret;

fn place<B>(call: &Call<B>) -> Result<(TeamName, EnvironmentName, SecretName), ApiError> {
    Ok((call.segment("team")?, call.segment("environment")?, call.segment("secret")?))
}

pub(super) async fn list(call: Call) -> Result<Shows<Vec<Secret>>, ApiError> {
    let view = call.core.view();
    let own = view.secrets.values().filter(|row| call.caller.may_act_for(&row.secret.team));
    Ok(shows(own.map(|row| row.secret.clone()).collect()))
}

pub(super) async fn put(
    call: Call<Json<SecretRequest, shadow::SecretRequest>>,
) -> Result<Shows<Secret>, ApiError> {
    let place = place(&call)?;
    call.core.put_secret(&call.caller, place, &call.body.value.value).await.map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    let (team, environment, name) = place(&call)?;
    call.caller.require_team(&team)?;
    let key = format!("{team}/{environment}/{name}");
    call.core.remove::<StoredSecret>("secret", &key).await?;
    Ok(Done)
}
