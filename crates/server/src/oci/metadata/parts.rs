//! What manifests are made of, and whether it is there.

use image::Digest;
use rusqlite::{OptionalExtension, Transaction, params};

use super::repository_id;
use crate::oci::{RegistryError, RepositoryName};

/// A part of a manifest, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::oci) struct Part {
    /// The part.
    pub(in crate::oci) digest: Digest,
    /// Its size in bytes.
    pub(in crate::oci) size: u64,
    /// Whether the manifest may be stored without it: an index' entries, which may be of platforms
    /// nobody here wants, and layers that registries may not hold.
    pub(in crate::oci) optional: bool,
}

/// Refuses a manifest whose parts are not in its repository, or have another size there. The sizes
/// of blobs come from `blob_size`.
pub(super) fn check(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
    parts: &[Part],
    blob_size: &dyn Fn(&Digest) -> Result<Option<u64>, RegistryError>,
) -> Result<(), RegistryError> {
    let id = repository_id(transaction, repository)?.unwrap_or(-1);
    let mut absent = Vec::new();
    for part in parts {
        let found = match manifest_size(transaction, id, &part.digest)? {
            Some(size) => Some(size),
            None if is_linked(transaction, id, &part.digest)? => blob_size(&part.digest)?,
            None => None,
        };
        match found {
            Some(size) if size != part.size => {
                let (part, declared) = (part.digest, part.size);
                return Err(RegistryError::PartSize { part, declared, size });
            }
            None if !part.optional => absent.push(part.digest),
            _ => {}
        }
    }
    if absent.is_empty() {
        return Ok(());
    }
    Err(RegistryError::PartsUnknown { repository: repository.clone(), parts: absent })
}

fn manifest_size(
    transaction: &Transaction<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<Option<u64>, RegistryError> {
    let mut query = transaction
        .prepare_cached("SELECT size FROM manifest WHERE repository = ?1 AND digest = ?2")?;
    Ok(query.query_row(params![repository, digest.as_bytes()], |row| row.get(0)).optional()?)
}

fn is_linked(
    transaction: &Transaction<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<bool, RegistryError> {
    let mut query =
        transaction.prepare_cached("SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2")?;
    Ok(query.exists(params![repository, digest.as_bytes()])?)
}
