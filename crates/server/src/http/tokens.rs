//! Tokens, and who the asker is.

use api::error::ApiError;
use api::id::TeamName;
use api::operation::{TokenAnswer, TokenRequest};
use api::token::{Role, Token};
use schemars::JsonSchema;
use serde::Serialize;

use super::endpoint::Call;
use super::gives::{Done, Made, Shows, made, shows};
use super::shadow;
use super::takes::Json;
use crate::core::StoredToken;

/// Who a token belongs to.
#[derive(Serialize, JsonSchema)]
pub(super) struct Whoami {
    /// The token's name.
    name: String,
    /// What it may do.
    role: Role,
    /// The team it is limited to.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<TeamName>,
}

pub(super) async fn whoami(call: Call) -> Result<Shows<Whoami>, ApiError> {
    let crate::core::Caller { name, role, team } = call.caller;
    Ok(shows(Whoami { name, role, team }))
}

pub(super) async fn list(call: Call) -> Result<Shows<Vec<Token>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.tokens.values().map(|row| row.token.clone()).collect()))
}

pub(super) async fn create(
    call: Call<Json<TokenRequest>>,
) -> Result<Made<TokenAnswer, shadow::TokenAnswer>, ApiError> {
    call.core.create_token(call.body.value).await.map(made)
}

pub(super) async fn revoke(call: Call) -> Result<Done, ApiError> {
    let id: String = call.segment("id")?;
    call.core.remove::<StoredToken>("token", &id).await?;
    Ok(Done)
}
