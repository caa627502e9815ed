//! Images of the embedded registry.

use std::collections::BTreeMap;

use api::error::{ApiError, ErrorCode};
use api::operation::ImageView;
use api::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::Call;
use super::gives::{Done, Shows, shows};
use super::takes::Query;
use crate::access::Releases;
use crate::control;
use crate::oci::{Fault, ListedImage, RegistryError};

/// What of a repository is deleted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ImageQuery {
    /// The tag or digest.
    reference: String,
}

/// What a collection removed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Collected {
    /// What was removed, for people; empty when nothing was.
    result: String,
}

pub(super) async fn list(call: Call) -> Result<Shows<Vec<ImageView>>, ApiError> {
    let images = call.registry.list(None).await.map_err(|e| refused(&e))?;
    let view = call.core.view();
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in view.releases.values().filter(|row| row.image.registry.is_none()) {
        let key = row.image.digest.to_string();
        users.entry(key).or_default().push(row.key().to_string());
    }
    let images: Result<Vec<ImageView>, ApiError> =
        images.into_iter().map(|image| view_of(&call, image, &users)).collect();
    images.map(shows)
}

fn view_of(
    call: &Call,
    image: ListedImage,
    users: &BTreeMap<String, Vec<String>>,
) -> Result<ImageView, ApiError> {
    let text = image.digest.to_string();
    let digest = text.parse().map_err(|error: api::id::InvalidName| {
        ApiError::new(ErrorCode::Internal, error.to_string())
    })?;
    let pushed = image.pushed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(ImageView {
        hosts: call.core.holders(&digest),
        repository: image.repository.to_string(),
        tag: image.tag,
        digest,
        size: image.total_size,
        pushed: Timestamp(i64::try_from(pushed.as_millis()).unwrap_or(i64::MAX)),
        used_by: users.get(&text).cloned().unwrap_or_default(),
    })
}

pub(super) async fn delete(call: Call<(), Query<ImageQuery>>) -> Result<Done, ApiError> {
    let repository: String = call.segment("repository")?;
    let in_use = Releases(call.core.clone());
    let reference = &call.query.0.reference;
    call.registry.delete(&repository, reference, &in_use).await.map_err(|e| refused(&e))?;
    Ok(Done)
}

pub(super) async fn collect_garbage(call: Call) -> Result<Shows<Collected>, ApiError> {
    let collected = control::collect_garbage(&call.core, &call.registry).await;
    match collected {
        Ok(result) => Ok(shows(Collected { result })),
        Err(error) => Err(ApiError::new(ErrorCode::Unavailable, error)),
    }
}

/// A registry's error as the API answers it.
fn refused(error: &RegistryError) -> ApiError {
    let code = match error {
        RegistryError::Name(_) => ErrorCode::Invalid,
        RegistryError::RepositoryUnknown(_)
        | RegistryError::BlobUnknown { .. }
        | RegistryError::ManifestUnknown { .. } => ErrorCode::NotFound,
        error => match error.fault() {
            Fault::User => ErrorCode::Invalid,
            Fault::Conflict => ErrorCode::Conflict,
            Fault::Unavailable => ErrorCode::Unavailable,
            Fault::Internal => ErrorCode::Internal,
        },
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    ApiError::new(code, text)
}
