//! Hosts.

use std::collections::BTreeMap;

use api::error::{ApiError, ErrorCode};
use api::host::{Host, HostState};
use api::id::HostId;
use api::operation::HostView;
use schemars::JsonSchema;
use serde::Deserialize;

use super::endpoint::Call;
use super::gives::{Shows, shows};
use super::takes::{Json, Query};

/// The most labels of a host.
const MAX_LABELS: usize = 64;

pub(super) async fn list(call: Call) -> Result<Shows<Vec<HostView>>, ApiError> {
    Ok(shows(call.core.hosts()))
}

pub(super) async fn show(call: Call) -> Result<Shows<HostView>, ApiError> {
    let name: HostId = call.segment("host")?;
    match call.core.hosts().into_iter().find(|view| view.host.name == name) {
        Some(view) => Ok(shows(view)),
        None => Err(ApiError::new(ErrorCode::NotFound, format!("there is no host {name}"))
            .hint("freehold host list")),
    }
}

pub(super) async fn drain(call: Call) -> Result<Shows<Host>, ApiError> {
    call.core.set_host_state(&call.segment("host")?, HostState::Draining).await.map(shows)
}

pub(super) async fn undrain(call: Call) -> Result<Shows<Host>, ApiError> {
    call.core.set_host_state(&call.segment("host")?, HostState::Ready).await.map(shows)
}

/// How a host is removed.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RemoveQuery {
    /// Also one that is taken for dead, whatever still runs there.
    #[serde(default)]
    force: bool,
}

pub(super) async fn remove(call: Call<(), Query<RemoveQuery>>) -> Result<Shows<Host>, ApiError> {
    let force = call.query.0.force;
    call.core.remove_host(&call.caller, &call.segment("host")?, force).await.map(shows)
}

pub(super) async fn put_labels(
    call: Call<Json<BTreeMap<String, String>>>,
) -> Result<Shows<Host>, ApiError> {
    let name = call.segment("host")?;
    check_labels(&call.body.value)?;
    call.core.set_host_labels(&name, call.body.value).await.map(shows)
}

/// Labels are short words: they are compared, shown in tables and written into metrics.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::Invalid, message));
    if labels.len() > MAX_LABELS {
        return invalid(format!("a host has at most {MAX_LABELS} labels"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    for (key, value) in labels {
        if key.is_empty() || key.len() > 63 || !key.chars().all(fits) {
            return invalid(format!("{key:?} is not a label: 1 to 63 of a-z A-Z 0-9 - _ . /"));
        }
        if value.len() > 63 || !value.chars().all(fits) {
            return invalid(format!(
                "{value:?} is not a value of label {key}: up to 63 of a-z A-Z 0-9 - _ . /"
            ));
        }
    }
    Ok(())
}
