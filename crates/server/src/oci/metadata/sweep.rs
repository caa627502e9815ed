//! What nothing needs any more.

use std::collections::HashMap;
use std::time::SystemTime;

use image::Digest;
use rusqlite::{Transaction, params};

use super::{Metadata, digest_at, manifests, millis, name_at};
use crate::oci::{ImageUse, RegistryError, RepositoryName};

/// Images that must stay, with everything in them.
#[derive(Debug, Clone, Default)]
pub(in crate::oci) struct Guards(HashMap<Digest, Vec<(Option<RepositoryName>, String)>>);

impl Guards {
    /// Those in use, as they were given.
    pub(in crate::oci) fn new(uses: impl IntoIterator<Item = ImageUse>) -> Self {
        let mut guards = Self::default();
        for ImageUse { repository, digest, user } in uses {
            guards.add(digest, repository, user);
        }
        guards
    }

    fn add(&mut self, digest: Digest, repository: Option<RepositoryName>, user: String) -> bool {
        let users = self.0.entry(digest).or_default();
        // One user per repository is enough to keep it.
        let known = users.iter().any(|(known, _)| *known == repository);
        if !known {
            users.push((repository, user));
        }
        !known
    }

    /// Who needs `digest` in `repository`.
    pub(in crate::oci) fn user(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<&str> {
        let users = self.0.get(digest)?;
        let needs = |known: &Option<RepositoryName>| known.as_ref().is_none_or(|k| k == repository);
        users.iter().find(|(known, _)| needs(known)).map(|(_, user)| user.as_str())
    }

    /// All digests, wherever they are needed.
    pub(in crate::oci) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.0.keys()
    }

    /// With what the images in use consist of, as far as the database knows it.
    pub(in crate::oci) fn expanded(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Self, RegistryError> {
        let mut all = self.clone();
        let mut todo: Vec<Digest> = self.0.keys().copied().collect();
        let mut query = transaction.prepare_cached(
            "SELECT p.digest, r.name FROM manifest m
             JOIN part p ON p.repository = m.repository AND p.manifest = m.digest
             JOIN repository r ON r.id = m.repository WHERE m.digest = ?1",
        )?;
        while let Some(digest) = todo.pop() {
            let parts = query
                .query_map([digest.as_bytes()], |row| Ok((digest_at(row, 0)?, name_at(row, 1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            for (part, repository) in parts {
                let Some(user) = all.user(&repository, &digest).map(str::to_owned) else {
                    continue;
                };
                if all.user(&repository, &part).is_none() && all.add(part, Some(repository), user) {
                    todo.push(part);
                }
            }
        }
        Ok(all)
    }
}

impl Metadata {
    /// Removes manifests pushed before `before` that have no tag, are in no index, remark on
    /// nothing that is there, and are not guarded. Gives how many; ask again until it is none.
    pub(in crate::oci) fn remove_untagged(
        &self,
        before: SystemTime,
        guards: &Guards,
    ) -> Result<u64, RegistryError> {
        self.write("deleting images without a tag", |transaction| {
            let found = {
                let mut query = transaction.prepare_cached(
                    "SELECT m.repository, r.name, m.digest FROM manifest m
                     JOIN repository r ON r.id = m.repository
                     WHERE m.pushed <= ?1
                       AND NOT EXISTS (SELECT 1 FROM tag t
                         WHERE t.repository = m.repository AND t.digest = m.digest)
                       AND NOT EXISTS (SELECT 1 FROM part p
                         WHERE p.repository = m.repository AND p.digest = m.digest)
                       AND NOT EXISTS (SELECT 1 FROM manifest s
                         WHERE s.repository = m.repository AND s.digest = m.subject)",
                )?;
                query
                    .query_map([millis(before)], |row| {
                        Ok((row.get::<_, i64>(0)?, name_at(row, 1)?, digest_at(row, 2)?))
                    })?
                    .collect::<Result<Vec<_>, _>>()?
            };
            let guards = guards.expanded(transaction)?;
            let mut removed = 0;
            for (id, repository, digest) in found {
                if guards.user(&repository, &digest).is_none() {
                    manifests::delete(transaction, id, &digest)?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
    }

    /// Makes blobs unseen that no manifest of their repository needs and that were last touched
    /// before `before`, and forgets repositories that became empty. Gives the number of blobs.
    pub(in crate::oci) fn unlink_unneeded(&self, before: SystemTime) -> Result<u64, RegistryError> {
        self.write("unlinking blobs", |transaction| {
            let gone = transaction.execute(
                "DELETE FROM blob WHERE touched <= ?1 AND NOT EXISTS (SELECT 1 FROM part
                 WHERE part.repository = blob.repository AND part.digest = blob.digest)",
                [millis(before)],
            )?;
            transaction.execute(
                "DELETE FROM repository WHERE
                   NOT EXISTS (SELECT 1 FROM blob WHERE blob.repository = repository.id)
                   AND NOT EXISTS
                     (SELECT 1 FROM manifest WHERE manifest.repository = repository.id)",
                params![],
            )?;
            Ok(gone as u64)
        })
    }

    /// Whether any repository has this content, as a blob or as a manifest.
    pub(in crate::oci) fn is_linked(&self, digest: &Digest) -> Result<bool, RegistryError> {
        self.read("looking for links", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT 1 WHERE EXISTS (SELECT 1 FROM blob WHERE digest = ?1)
                 OR EXISTS (SELECT 1 FROM manifest WHERE digest = ?1)",
            )?;
            Ok(query.exists([digest.as_bytes()])?)
        })
    }

    /// Everything that is linked, without repeats, after `after`, at most `limit`.
    pub(in crate::oci) fn linked(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Digest>, RegistryError> {
        self.read("listing links", |transaction| {
            let mut query = transaction.prepare_cached(
                "SELECT digest FROM blob WHERE digest > ?1
                 UNION SELECT digest FROM manifest WHERE digest > ?1 ORDER BY digest LIMIT ?2",
            )?;
            let after = after.map_or(&[][..], |digest| digest.as_bytes());
            let rows = query.query_map(params![after, limit], |row| digest_at(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
