//! What the registry knows beside the content: repositories, tags, manifests with their parts, and
//! which blob is in which repository. One SQLite database; a transaction is durable when it
//! returns. Nothing here touches the content.

mod blobs;
mod database;
mod lists;
mod manifests;
mod open;
mod parts;
mod sweep;

pub(super) use database::{Metadata, from_millis, millis};
pub(super) use lists::{Listed, Referrer};
pub(super) use manifests::{ManifestRow, NewManifest};
pub(super) use parts::Part;
pub(super) use sweep::Guards;

use database::{digest_at, ensure_repository, name_at, repository_id};
