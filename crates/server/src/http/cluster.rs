//! The cluster itself: version, health, controllers, events, and this API's document.

use std::time::Duration;

use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::id::AppName;
use api::operation::{ControllerView, VersionView};
use api::server::{NetReport, SafeModeView, ServerView};
use api::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::Call;
use super::gives::{Shows, shows};
use super::takes::Query;

/// How long the store may take to say that it is there.
const STORE_WITHIN: Duration = Duration::from_secs(1);

/// Events when nothing else is asked for.
const EVENTS: u32 = 100;

/// The most events of one answer.
const MAX_EVENTS: u32 = 1_000;

/// Whether the server is well.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`; anything else is an error.
    status: String,
}

/// Which events are listed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct EventQuery {
    /// Only those about this app.
    app: Option<AppName>,
    /// Only the newest; none is 100, at most 1,000.
    limit: Option<u32>,
    /// Only those after this time.
    since: Option<Timestamp>,
}

pub(super) async fn version(call: Call) -> Result<Shows<VersionView>, ApiError> {
    Ok(shows(VersionView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: call.core.cluster.clone(),
        host: None,
    }))
}

pub(super) async fn health(call: Call) -> Result<Shows<Health>, ApiError> {
    let unavailable = |message: String| ApiError::new(ErrorCode::Unavailable, message);
    match tokio::time::timeout(STORE_WITHIN, call.core.store.status()).await {
        Ok(Ok(_)) => Ok(shows(Health { status: "ok".to_owned() })),
        Ok(Err(error)) => Err(unavailable(error.to_string())),
        Err(_) => Err(unavailable("the store did not answer within 1 s".to_owned())),
    }
}

pub(super) async fn servers(call: Call) -> Result<Shows<Vec<ServerView>>, ApiError> {
    Ok(shows(call.core.show_servers().await))
}

pub(super) async fn net_doctor(call: Call) -> Result<Shows<NetReport>, ApiError> {
    Ok(shows(call.core.net_report()))
}

pub(super) async fn safe_mode(call: Call) -> Result<Shows<SafeModeView>, ApiError> {
    Ok(shows(call.core.safe_mode()))
}

pub(super) async fn accept_losses(call: Call) -> Result<Shows<SafeModeView>, ApiError> {
    call.core.accept_losses(&call.caller).await.map(shows)
}

pub(super) async fn controllers(call: Call) -> Result<Shows<Vec<ControllerView>>, ApiError> {
    let mut controllers = call.core.driver.list();
    controllers.push(call.core.events.view());
    Ok(shows(controllers))
}

pub(super) async fn events(
    call: Call<(), Query<EventQuery>>,
) -> Result<Shows<Vec<Event>>, ApiError> {
    let EventQuery { app, limit, since } = call.query.0;
    let limit = limit.unwrap_or(EVENTS).min(MAX_EVENTS) as usize;
    let view = call.core.view();
    let newest_first = view.events.values().rev().map(|row| &row.event);
    let mut events: Vec<Event> = newest_first
        .take_while(|event| since.is_none_or(|since| event.at > since))
        .filter(|event| app.is_none() || event.app == app)
        .take(limit)
        .cloned()
        .collect();
    events.reverse();
    Ok(shows(events))
}

pub(super) async fn document(_: Call) -> Result<Shows<Value>, ApiError> {
    Ok(shows(super::document::value().clone()))
}
