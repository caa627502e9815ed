//! Blobs in repositories, and the uploads that become them.

use std::time::SystemTime;

use image::Digest;
use image::content::UploadId;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Metadata, digest_at, ensure_repository, millis, repository_id};
use crate::oci::{RegistryError, RepositoryName};

impl Metadata {
    /// When the blob was last touched in the repository; `None` if it is not seen there.
    pub(in crate::oci) fn blob_touched(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<i64>, RegistryError> {
        self.read("looking for a blob", |transaction| touched(transaction, repository, digest))
    }

    /// Keeps a blob that is seen in the repository for another while.
    pub(in crate::oci) fn touch_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: SystemTime,
    ) -> Result<bool, RegistryError> {
        self.write("keeping a blob", |transaction| {
            let changed = transaction
                .prepare_cached(
                    "UPDATE blob SET touched = max(touched, ?3) WHERE digest = ?2 AND
                     repository = (SELECT id FROM repository WHERE name = ?1)",
                )?
                .execute(params![repository.as_str(), digest.as_bytes(), millis(now)])?;
            Ok(changed > 0)
        })
    }

    /// Makes a blob seen in a repository, and ends the upload it came by. The caller holds the
    /// digest's lock and knows that the content is there.
    pub(in crate::oci) fn link_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        upload: UploadId,
        now: SystemTime,
    ) -> Result<(), RegistryError> {
        self.write("linking a blob", |transaction| {
            link(transaction, repository, digest, now)?;
            remove_upload(transaction, upload)
        })
    }

    /// Makes a blob that was fetched from another registry of the cluster seen in a repository. The
    /// caller holds the digest's lock and knows that the content is there.
    pub(in crate::oci) fn link_fetched(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: SystemTime,
    ) -> Result<(), RegistryError> {
        self.write("linking a fetched blob", |transaction| {
            link(transaction, repository, digest, now)
        })
    }

    /// Makes a blob of `from` seen in `repository`; `false` if it is not seen in `from`. The caller
    /// holds the digest's lock.
    pub(in crate::oci) fn mount_blob(
        &self,
        repository: &RepositoryName,
        from: &RepositoryName,
        digest: &Digest,
        now: SystemTime,
    ) -> Result<bool, RegistryError> {
        self.write("mounting a blob", |transaction| {
            if touched(transaction, from, digest)?.is_none() {
                return Ok(false);
            }
            link(transaction, repository, digest, now)?;
            Ok(true)
        })
    }

    /// Makes a blob unseen in a repository; `false` if it was not seen.
    pub(in crate::oci) fn unlink_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        self.write("deleting a blob", |transaction| {
            let Some(id) = repository_id(transaction, repository)? else { return Ok(false) };
            let needed = transaction
                .prepare_cached("SELECT manifest FROM part WHERE repository = ?1 AND digest = ?2")?
                .query_row(params![id, digest.as_bytes()], |row| digest_at(row, 0))
                .optional()?;
            if let Some(manifest) = needed {
                let (repository, digest) = (repository.clone(), *digest);
                return Err(RegistryError::BlobNeeded { repository, digest, manifest });
            }
            let gone = transaction
                .prepare_cached("DELETE FROM blob WHERE repository = ?1 AND digest = ?2")?
                .execute(params![id, digest.as_bytes()])?;
            Ok(gone > 0)
        })
    }

    /// Notes a started upload, unless there are `limit` already.
    pub(in crate::oci) fn add_upload(
        &self,
        upload: UploadId,
        repository: &RepositoryName,
        now: SystemTime,
        limit: usize,
    ) -> Result<(), RegistryError> {
        self.write("starting an upload", |transaction| {
            if count_uploads(transaction)? >= limit {
                return Err(RegistryError::TooManyUploads(limit));
            }
            transaction
                .prepare_cached("INSERT INTO upload (id, repository, started) VALUES (?1, ?2, ?3)")?
                .execute(params![upload.to_string(), repository.as_str(), millis(now)])?;
            Ok(())
        })
    }

    /// Whether the upload was started in this repository and is not over.
    pub(in crate::oci) fn has_upload(
        &self,
        upload: UploadId,
        repository: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        self.read("looking for an upload", |transaction| {
            let mut query = transaction
                .prepare_cached("SELECT 1 FROM upload WHERE id = ?1 AND repository = ?2")?;
            Ok(query.exists([upload.to_string().as_str(), repository.as_str()])?)
        })
    }

    /// Forgets an upload.
    pub(in crate::oci) fn remove_upload(&self, upload: UploadId) -> Result<(), RegistryError> {
        self.write("ending an upload", |transaction| remove_upload(transaction, upload))
    }

    /// How many uploads are not over.
    pub(in crate::oci) fn count_uploads(&self) -> Result<usize, RegistryError> {
        self.read("counting uploads", count_uploads)
    }

    /// Forgets uploads started before `before` whose bytes are gone.
    pub(in crate::oci) fn forget_uploads(
        &self,
        before: SystemTime,
        gone: impl Fn(UploadId) -> bool,
    ) -> Result<(), RegistryError> {
        let started: Vec<String> = self.read("listing uploads", |transaction| {
            let mut query =
                transaction.prepare_cached("SELECT id FROM upload WHERE started <= ?1")?;
            let ids = query.query_map([millis(before)], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })?;
        for id in started.iter().filter_map(|id| id.parse().ok()).filter(|id| gone(*id)) {
            self.remove_upload(id)?;
        }
        Ok(())
    }
}

fn count_uploads(transaction: &Transaction<'_>) -> Result<usize, RegistryError> {
    let mut query = transaction.prepare_cached("SELECT count(*) FROM upload")?;
    Ok(query.query_row([], |row| row.get(0))?)
}

fn touched(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<i64>, RegistryError> {
    let mut query = transaction.prepare_cached(
        "SELECT touched FROM blob WHERE digest = ?2 AND
         repository = (SELECT id FROM repository WHERE name = ?1)",
    )?;
    let key = params![repository.as_str(), digest.as_bytes()];
    Ok(query.query_row(key, |row| row.get(0)).optional()?)
}

pub(super) fn link(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    now: SystemTime,
) -> Result<(), RegistryError> {
    let id = ensure_repository(transaction, repository)?;
    transaction
        .prepare_cached(
            "INSERT INTO blob (repository, digest, touched) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET touched = max(touched, ?3)",
        )?
        .execute(params![id, digest.as_bytes(), millis(now)])?;
    Ok(())
}

fn remove_upload(transaction: &Transaction<'_>, upload: UploadId) -> Result<(), RegistryError> {
    transaction
        .prepare_cached("DELETE FROM upload WHERE id = ?1")?
        .execute([upload.to_string()])?;
    Ok(())
}
