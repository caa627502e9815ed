//! Manifests and tags.

use std::time::SystemTime;

use image::Digest;
use rusqlite::{OptionalExtension, Transaction, params};

use super::parts::{self, Part};
use super::repository_id;
use super::{Guards, Metadata, blobs, digest_at, ensure_repository, from_millis, millis, name_at};
use crate::oci::{ManifestName, RegistryError, RepositoryName};

/// A manifest to be stored.
#[derive(Debug, Clone)]
pub(in crate::oci) struct NewManifest {
    pub(in crate::oci) repository: RepositoryName,
    pub(in crate::oci) digest: Digest,
    /// The tag it is pushed under, if it is.
    pub(in crate::oci) tag: Option<String>,
    pub(in crate::oci) media_type: String,
    pub(in crate::oci) artifact_type: Option<String>,
    /// In bytes.
    pub(in crate::oci) size: u64,
    /// What it remarks on.
    pub(in crate::oci) subject: Option<Digest>,
    /// As JSON; only of manifests with a subject.
    pub(in crate::oci) annotations: Option<String>,
    pub(in crate::oci) parts: Vec<Part>,
    pub(in crate::oci) pusher: String,
}

/// What is known of a stored manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::oci) struct ManifestRow {
    pub(in crate::oci) digest: Digest,
    pub(in crate::oci) media_type: String,
    /// In bytes.
    pub(in crate::oci) size: u64,
}

type BlobSize<'a> = &'a dyn Fn(&Digest) -> Result<Option<u64>, RegistryError>;

impl Metadata {
    /// Refuses a manifest that can't be stored now.
    pub(in crate::oci) fn check_manifest(
        &self,
        new: &NewManifest,
        blob_size: BlobSize<'_>,
    ) -> Result<(), RegistryError> {
        self.read("looking for a manifest's parts", |transaction| {
            parts::check(transaction, &new.repository, &new.parts, blob_size)
        })
    }

    /// Stores a manifest with its parts and its tag. The caller holds the digest's lock and knows
    /// that the content is there.
    pub(in crate::oci) fn put_manifest(
        &self,
        new: &NewManifest,
        now: SystemTime,
        blob_size: BlobSize<'_>,
    ) -> Result<(), RegistryError> {
        self.write("storing a manifest", |transaction| {
            parts::check(transaction, &new.repository, &new.parts, blob_size)?;
            let id = ensure_repository(transaction, &new.repository)?;
            insert(transaction, id, new, now)?;
            if let Some(tag) = &new.tag {
                set_tag(transaction, id, tag, &new.digest, millis(now))?;
            }
            Ok(())
        })
    }

    /// Stores a manifest that another registry of the cluster took, whose parts may be elsewhere.
    pub(in crate::oci) fn adopt_manifest(
        &self,
        new: &NewManifest,
        pushed: i64,
    ) -> Result<(), RegistryError> {
        self.write("adopting a manifest", |transaction| {
            let id = ensure_repository(transaction, &new.repository)?;
            let pushed = from_millis(pushed);
            insert(transaction, id, new, pushed)?;
            for part in new.parts.iter().filter(|part| !part.optional) {
                blobs::link(transaction, &new.repository, &part.digest, pushed)?;
            }
            Ok(())
        })
    }

    /// Sets a tag of a manifest that is there; `false` if it is not.
    pub(in crate::oci) fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
        digest: &Digest,
        pushed: i64,
    ) -> Result<bool, RegistryError> {
        self.write("setting a tag", |transaction| {
            let Some(id) = repository_id(transaction, repository)? else { return Ok(false) };
            let name = ManifestName::Digest(*digest);
            if find(transaction, repository, &name)?.is_none() {
                return Ok(false);
            }
            set_tag(transaction, id, tag, digest, pushed)?;
            Ok(true)
        })
    }

    /// Every manifest, as its repository, digest and when it was pushed.
    pub(in crate::oci) fn all_manifests(
        &self,
    ) -> Result<Vec<(RepositoryName, Digest, i64)>, RegistryError> {
        self.read("listing manifests", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT r.name, m.digest, m.pushed FROM manifest m
                 JOIN repository r ON r.id = m.repository",
            )?;
            let rows = query
                .query_map([], |row| Ok((name_at(row, 0)?, digest_at(row, 1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Every tag, as its repository, name, digest and when it was pushed.
    pub(in crate::oci) fn all_tags(
        &self,
    ) -> Result<Vec<(RepositoryName, String, Digest, i64)>, RegistryError> {
        self.read("listing tags", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT r.name, t.name, t.digest, t.pushed FROM tag t
                 JOIN repository r ON r.id = t.repository",
            )?;
            let rows = query.query_map([], |row| {
                Ok((name_at(row, 0)?, row.get(1)?, digest_at(row, 2)?, row.get(3)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Finds a manifest.
    pub(in crate::oci) fn manifest(
        &self,
        repository: &RepositoryName,
        manifest: &ManifestName,
    ) -> Result<Option<ManifestRow>, RegistryError> {
        self.read("looking for a manifest", |transaction| find(transaction, repository, manifest))
    }

    /// Removes a tag; `false` if there was none.
    pub(in crate::oci) fn remove_tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
    ) -> Result<bool, RegistryError> {
        self.write("deleting a tag", |transaction| {
            let gone = transaction
                .prepare_cached(
                    "DELETE FROM tag WHERE name = ?2 AND
                     repository = (SELECT id FROM repository WHERE name = ?1)",
                )?
                .execute([repository.as_str(), tag])?;
            Ok(gone > 0)
        })
    }

    /// Refuses what is in use.
    pub(in crate::oci) fn check_unused(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        guards: &Guards,
    ) -> Result<(), RegistryError> {
        self.read("looking for who uses a manifest", |transaction| {
            match guards.expanded(transaction)?.user(repository, digest) {
                None => Ok(()),
                Some(user) => {
                    let (repository, digest, user) = (repository.clone(), *digest, user.to_owned());
                    Err(RegistryError::InUse { repository, digest, user })
                }
            }
        })
    }

    /// Removes a manifest and its tags; `false` if there was none.
    pub(in crate::oci) fn remove_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        guards: &Guards,
    ) -> Result<bool, RegistryError> {
        self.write("deleting a manifest", |transaction| {
            let Some(id) = repository_id(transaction, repository)? else { return Ok(false) };
            if find(transaction, repository, &ManifestName::Digest(*digest))?.is_none() {
                return Ok(false);
            }
            if let Some(user) = guards.expanded(transaction)?.user(repository, digest) {
                let (repository, digest, user) = (repository.clone(), *digest, user.to_owned());
                return Err(RegistryError::InUse { repository, digest, user });
            }
            delete(transaction, id, digest)?;
            Ok(true)
        })
    }
}

pub(super) fn find(
    transaction: &Transaction<'_>,
    repository: &RepositoryName,
    manifest: &ManifestName,
) -> Result<Option<ManifestRow>, RegistryError> {
    let Some(id) = repository_id(transaction, repository)? else { return Ok(None) };
    let digest = match manifest {
        ManifestName::Digest(digest) => Some(*digest),
        ManifestName::Tag(tag) => transaction
            .prepare_cached("SELECT digest FROM tag WHERE repository = ?1 AND name = ?2")?
            .query_row(params![id, tag], |row| digest_at(row, 0))
            .optional()?,
    };
    let Some(digest) = digest else { return Ok(None) };
    let mut query = transaction.prepare_cached(
        "SELECT media_type, size FROM manifest WHERE repository = ?1 AND digest = ?2",
    )?;
    let row = query.query_row(params![id, digest.as_bytes()], |row| {
        Ok(ManifestRow { digest, media_type: row.get(0)?, size: row.get(1)? })
    });
    Ok(row.optional()?)
}

fn set_tag(
    transaction: &Transaction<'_>,
    repository: i64,
    tag: &str,
    digest: &Digest,
    pushed: i64,
) -> Result<(), RegistryError> {
    transaction
        .prepare_cached(
            "INSERT INTO tag (repository, name, digest, pushed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET digest = ?3, pushed = ?4",
        )?
        .execute(params![repository, tag, digest.as_bytes(), pushed])?;
    Ok(())
}

fn insert(
    transaction: &Transaction<'_>,
    repository: i64,
    new: &NewManifest,
    now: SystemTime,
) -> Result<(), RegistryError> {
    // Pushing the same bytes as another media type is pushing them anew.
    transaction
        .prepare_cached(
            "INSERT INTO manifest (repository, digest, media_type, artifact_type, size, subject,
                annotations, pushed, pusher) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET media_type = ?3, pushed = ?8, pusher = ?9",
        )?
        .execute(params![
            repository,
            new.digest.as_bytes(),
            new.media_type,
            new.artifact_type,
            new.size,
            new.subject.as_ref().map(|digest| digest.as_bytes().as_slice()),
            new.annotations,
            millis(now),
            new.pusher,
        ])?;
    let mut add = transaction.prepare_cached(
        "INSERT OR IGNORE INTO part (repository, manifest, digest, size) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for part in &new.parts {
        let (manifest, digest) = (new.digest.as_bytes(), part.digest.as_bytes());
        add.execute(params![repository, manifest, digest, part.size])?;
    }
    Ok(())
}

pub(super) fn delete(
    transaction: &Transaction<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<(), RegistryError> {
    for statement in [
        "DELETE FROM tag WHERE repository = ?1 AND digest = ?2",
        "DELETE FROM part WHERE repository = ?1 AND manifest = ?2",
        "DELETE FROM manifest WHERE repository = ?1 AND digest = ?2",
    ] {
        transaction.prepare_cached(statement)?.execute(params![repository, digest.as_bytes()])?;
    }
    Ok(())
}
