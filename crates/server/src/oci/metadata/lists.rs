//! Lists: repositories, tags, referrers, images.

use image::Digest;
use rusqlite::{Transaction, params};

use super::{Metadata, digest_at, name_at, repository_id};
use crate::oci::page::Page;
use crate::oci::{RegistryError, RepositoryName};

/// A manifest that remarks on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::oci) struct Referrer {
    pub(in crate::oci) digest: Digest,
    pub(in crate::oci) media_type: String,
    pub(in crate::oci) artifact_type: Option<String>,
    /// In bytes.
    pub(in crate::oci) size: u64,
    /// As JSON.
    pub(in crate::oci) annotations: Option<String>,
}

/// An image under one of its tags, or without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::oci) struct Listed {
    pub(in crate::oci) repository: RepositoryName,
    pub(in crate::oci) tag: Option<String>,
    pub(in crate::oci) digest: Digest,
    pub(in crate::oci) media_type: String,
    /// In bytes, with all parts that are there, each once.
    pub(in crate::oci) total_size: u64,
    /// In milliseconds since 1970.
    pub(in crate::oci) pushed: i64,
    pub(in crate::oci) pusher: String,
}

/// The manifest `?2` of repository `?1` with all its parts that are there, each once.
const TOTAL_SIZE: &str = "
WITH RECURSIVE tree (digest, size) AS (
    SELECT digest, size FROM manifest WHERE repository = ?1 AND digest = ?2
    UNION
    SELECT part.digest, part.size FROM part JOIN tree ON part.manifest = tree.digest
    WHERE part.repository = ?1 AND (
        EXISTS (SELECT 1 FROM blob b WHERE b.repository = ?1 AND b.digest = part.digest)
        OR EXISTS (SELECT 1 FROM manifest m WHERE m.repository = ?1 AND m.digest = part.digest))
)
SELECT total(size) FROM tree";

impl Metadata {
    /// Repositories in order of their names, one more than the page has.
    pub(in crate::oci) fn repositories(
        &self,
        page: &Page,
    ) -> Result<Vec<RepositoryName>, RegistryError> {
        self.read("listing repositories", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT name FROM repository WHERE name > ?1 ORDER BY name LIMIT ?2",
            )?;
            let rows = query.query_map(params![page.after, page.limit + 1], |r| name_at(r, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Tags in order of their bytes, one more than the page has; `None`: no such repository.
    pub(in crate::oci) fn tags(
        &self,
        repository: &RepositoryName,
        page: &Page,
    ) -> Result<Option<Vec<String>>, RegistryError> {
        self.read("listing tags", |transaction| {
            let Some(id) = repository_id(transaction, repository)? else { return Ok(None) };
            let mut query = transaction.prepare_cached(
                "SELECT name FROM tag WHERE repository = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
            )?;
            let key = params![id, page.after, page.limit + 1];
            let tags = query.query_map(key, |row| row.get(0))?;
            Ok(Some(tags.collect::<Result<_, _>>()?))
        })
    }

    /// What remarks on `subject`, of one artifact type or all, in order of their digests after
    /// `after`, at most `limit`.
    pub(in crate::oci) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, RegistryError> {
        self.read("listing referrers", |transaction| {
            let Some(id) = repository_id(transaction, repository)? else { return Ok(Vec::new()) };
            let mut query = transaction.prepare_cached(
                "SELECT digest, media_type, artifact_type, size, annotations FROM manifest
                 WHERE repository = ?1 AND subject = ?2 AND digest > ?3
                   AND (?4 IS NULL OR artifact_type = ?4)
                 ORDER BY digest LIMIT ?5",
            )?;
            let after = after.map_or(&[][..], |digest| digest.as_bytes());
            let key = params![id, subject.as_bytes(), after, artifact_type, limit];
            let rows = query.query_map(key, |row| {
                Ok(Referrer {
                    digest: digest_at(row, 0)?,
                    media_type: row.get(1)?,
                    artifact_type: row.get(2)?,
                    size: row.get(3)?,
                    annotations: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Images by repository and tag, those without a tag last; of one repository or of all, at most
    /// `limit`.
    pub(in crate::oci) fn images(
        &self,
        repository: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<Listed>, RegistryError> {
        self.read("listing images", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT r.name, t.name, m.digest, m.media_type, coalesce(t.pushed, m.pushed),
                        m.pusher, r.id
                 FROM repository r JOIN manifest m ON m.repository = r.id
                 LEFT JOIN tag t ON t.repository = r.id AND t.digest = m.digest
                 WHERE ?1 IS NULL OR r.name = ?1
                 ORDER BY r.name, t.name IS NULL, t.name, m.pushed LIMIT ?2",
            )?;
            let key = params![repository.map(RepositoryName::as_str), limit];
            let mut rows = query.query(key)?;
            let mut images = Vec::new();
            while let Some(row) = rows.next()? {
                let digest = digest_at(row, 2)?;
                images.push(Listed {
                    repository: name_at(row, 0)?,
                    tag: row.get(1)?,
                    digest,
                    media_type: row.get(3)?,
                    total_size: total_size(transaction, row.get(6)?, &digest)?,
                    pushed: row.get(4)?,
                    pusher: row.get(5)?,
                });
            }
            Ok(images)
        })
    }
}

fn total_size(
    transaction: &Transaction<'_>,
    repository: i64,
    digest: &Digest,
) -> Result<u64, RegistryError> {
    let mut query = transaction.prepare_cached(TOTAL_SIZE)?;
    // `total` counts in floating point and can't overflow; it is exact up to 2^53 bytes, 9 PB.
    let total: f64 = query.query_row(params![repository, digest.as_bytes()], |row| row.get(0))?;
    Ok(total as u64)
}
