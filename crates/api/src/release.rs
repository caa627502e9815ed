//! Releases: an image digest and a manifest, numbered inside their app, never changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{AppName, ReleaseKey, ReleaseNumber};
use crate::manifest::Manifest;
use crate::time::Timestamp;

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The app it belongs to.
    pub app: AppName,
    /// Its number inside the app, from 1.
    pub number: ReleaseNumber,
    /// Where the image comes from and what exactly it is.
    pub image: Image,
    /// The manifest as written, with its overrides for environments.
    pub manifest: Manifest,
    /// When it was made.
    pub created: Timestamp,
    /// The name of the token that made it.
    pub created_by: String,
}

impl Release {
    /// The release's name outside its app.
    #[must_use]
    pub fn key(&self) -> ReleaseKey {
        ReleaseKey { app: self.app.clone(), number: self.number }
    }
}

/// An image pinned to its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// The registry's `host[:port]`; none is the cluster's own registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The repository in that registry, e.g. `retail/shop`.
    pub repository: String,
    /// The tag that was asked for, kept for people; the digest decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest of the manifest or index.
    pub digest: Digest,
}
