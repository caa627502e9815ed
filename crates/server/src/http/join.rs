//! Joining: tokens for operators, and what joiners and members ask.

use api::authority::{AuthorityView, RotateRequest};
use api::error::{ApiError, ErrorCode};
use api::join::{
    HandoverAnswer, HandoverRequest, HostJoinRequest, HostJoined, JoinRole, JoinToken,
    JoinTokenAnswer, JoinTokenRequest, RenewAnswer, RenewRequest, ServerJoinRequest, ServerJoined,
};
use api::token::Role;

use super::endpoint::Call;
use super::gives::{Done, Made, Shows, made, shows};
use super::hosts::check_labels;
use super::shadow;
use super::takes::Json;
use crate::core::StoredJoinToken;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<JoinToken>>, ApiError> {
    let view = call.core.view();
    Ok(shows(view.join_tokens.values().map(|row| row.token.clone()).collect()))
}

pub(super) async fn create(
    call: Call<Json<JoinTokenRequest>>,
) -> Result<Made<JoinTokenAnswer, shadow::JoinTokenAnswer>, ApiError> {
    let request = call.body.value;
    if request.role == JoinRole::Server && call.caller.role != Role::Admin {
        let message = "a server gets the cluster's keys: only an admin lets one in";
        return Err(ApiError::new(ErrorCode::Forbidden, message));
    }
    call.core.create_join_token(&call.trust, request).await.map(made)
}

pub(super) async fn revoke(call: Call) -> Result<Done, ApiError> {
    let id: String = call.segment("id")?;
    call.core.remove::<StoredJoinToken>("join token", &id).await?;
    Ok(Done)
}

pub(super) async fn host(
    call: Call<Json<HostJoinRequest, shadow::HostJoinRequest>>,
) -> Result<Made<HostJoined>, ApiError> {
    check_labels(&call.body.value.labels)?;
    call.core.join_host(&call.trust, call.body.value).await.map(made)
}

pub(super) async fn server(
    call: Call<Json<ServerJoinRequest, shadow::ServerJoinRequest>>,
) -> Result<Made<ServerJoined>, ApiError> {
    call.core.join_server(&call.trust, call.body.value).await.map(made)
}

pub(super) async fn handover(
    call: Call<Json<HandoverRequest>>,
) -> Result<Shows<HandoverAnswer>, ApiError> {
    call.core.hand_over(&call.trust, call.peer.as_ref(), &call.body.value).map(shows)
}

pub(super) async fn authority(call: Call) -> Result<Shows<AuthorityView>, ApiError> {
    call.core.authority(&call.trust).map(shows)
}

pub(super) async fn rotate(
    call: Call<Json<RotateRequest>>,
) -> Result<Shows<AuthorityView>, ApiError> {
    let by = &call.caller.name;
    tracing::info!(by, request = ?call.body.value, "the authority is exchanged");
    call.core.rotate_authority(&call.trust, &call.body.value).await.map(shows)
}

pub(super) async fn renew(call: Call<Json<RenewRequest>>) -> Result<Shows<RenewAnswer>, ApiError> {
    call.core.renew(&call.trust, &call.body.value).map(shows)
}
