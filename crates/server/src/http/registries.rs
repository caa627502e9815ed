//! Image registries off the cluster. Passwords go in and never come out.

use api::error::{ApiError, ErrorCode};
use api::registry::Registry;

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::shadow;
use super::takes::Json;
use crate::core::StoredRegistry;

type Shown<T> = Shows<T, shadow::Registry>;

fn without_password(mut registry: Registry) -> Registry {
    registry.password = None;
    registry
}

pub(super) async fn list(
    call: Call,
) -> Result<Shows<Vec<Registry>, Vec<shadow::Registry>>, ApiError> {
    let view = call.core.view();
    let registries = view.registries.values().map(|row| row.registry.clone());
    Ok(shows(registries.map(without_password).collect()))
}

pub(super) async fn put(
    call: Call<Json<Registry, shadow::RegistryRequest>>,
) -> Result<Shown<Registry>, ApiError> {
    let host: String = call.segment("registry")?;
    let registry = call.body.value;
    if registry.host != host {
        let message = format!("the path names registry {host}, the body {}", registry.host);
        return Err(ApiError::new(ErrorCode::Invalid, message));
    }
    call.core.put_registry(registry).await.map(without_password).map(shows)
}

pub(super) async fn delete(call: Call) -> Result<Done, ApiError> {
    let host: String = call.segment("registry")?;
    call.core.remove::<StoredRegistry>("registry", &host).await?;
    Ok(Done)
}
