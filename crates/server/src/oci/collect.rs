//! Collecting garbage: first what is known of it goes, then the content that nothing knows.
//!
//! It may run while everything else goes on. A link and its content never part: links are made
//! under the lock of their digest, after the content is in its place, and content is removed under
//! the same lock, after looking for links. A manifest's parts can't lose their links while it is
//! stored: both are transactions of the one writer.

use std::collections::HashSet;
use std::time::SystemTime;

use image::manifest::Document;
use image::{ContentError, Digest};

use super::metadata::Guards;
use super::registry::Inner;
use super::{InUse, Registry, RegistryError};

/// Links looked at in one transaction: 1,000 × 32 bytes = 32 KB.
const BATCH: usize = 1000;

/// Most missing contents named in a report.
const MAX_MISSING: usize = 100;

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct GcReport {
    /// Uploads cancelled because nothing came for long.
    pub uploads_expired: u64,
    /// Manifests removed because they had no tag for long and nobody uses them.
    pub manifests_removed: u64,
    /// Blobs that no manifest of their repository needs, removed from it.
    pub blobs_unlinked: u64,
    /// Contents removed from the disk.
    pub contents_removed: u64,
    /// Their bytes.
    pub bytes_freed: u64,
    /// Contents kept.
    pub contents_kept: u64,
    /// Contents that should be there and are not: the disk or somebody lost them. The first 100.
    pub missing: Vec<Digest>,
}

impl Registry {
    /// Removes what nobody needs. One collection runs at a time; a second one waits.
    ///
    /// # Errors
    /// [`RegistryError::UsersUnknown`] before anything was removed; [`RegistryError::Content`] and
    /// [`RegistryError::Database`].
    pub async fn gc(&self, in_use: &dyn InUse) -> Result<GcReport, RegistryError> {
        let _one_at_a_time = self.inner().collecting.lock().await;
        let mut report = GcReport::default();
        let expired =
            self.blocking(|inner| inner.expire_uploads(inner.options.upload_idle)).await?;
        report.uploads_expired = expired as u64;
        // Images that are written down for several registries go only when they are deleted.
        let retention = self.inner().options.untagged_retention;
        if let Some(retention) = retention.filter(|_| self.cluster().is_none()) {
            loop {
                let removed = self
                    .guarded(in_use, move |inner, guards| {
                        let before = inner.before(retention);
                        inner.metadata.remove_untagged(before, guards)
                    })
                    .await?;
                if removed == 0 {
                    break;
                }
                report.manifests_removed += removed;
            }
        }
        let guards = self.guarded(in_use, |_, guards| Ok(guards.clone())).await?;
        // What is not here may be on another server, which the leader watches over.
        let alone = self.cluster().is_none();
        self.blocking(move |inner| {
            let grace = inner.before(inner.options.grace);
            report.blobs_unlinked = inner.metadata.unlink_unneeded(grace)?;
            inner.sweep(grace, &inner.in_use_content(&guards)?, &mut report)?;
            if alone {
                inner.find_missing(&mut report)?;
            }
            Ok(report)
        })
        .await
    }
}

impl Inner {
    fn before(&self, age: std::time::Duration) -> SystemTime {
        self.now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The content of images in use, read from the content itself: even what the database does not
    /// know stays.
    fn in_use_content(&self, guards: &Guards) -> Result<HashSet<Digest>, RegistryError> {
        let mut needed = HashSet::new();
        let mut todo: Vec<Digest> = guards.digests().copied().collect();
        while let Some(digest) = todo.pop() {
            if !needed.insert(digest) {
                continue;
            }
            let limit = image::manifest::MAX_DOCUMENT_BYTES as u64;
            let content = match self.content.read(&digest, limit) {
                Ok(content) => content,
                // No document, then: a blob has no parts.
                Err(
                    ContentError::NotFound(_)
                    | ContentError::TooLarge { .. }
                    | ContentError::Corrupt { .. },
                ) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Ok(document) = Document::parse(&content, None) {
                let parts = document.references();
                todo.extend(parts.iter().filter_map(|part| Digest::try_from(part.digest()).ok()));
            }
        }
        Ok(needed)
    }

    /// Removes content stored before `before` that nothing links and nobody uses.
    fn sweep(
        &self,
        before: SystemTime,
        in_use: &HashSet<Digest>,
        report: &mut GcReport,
    ) -> Result<(), RegistryError> {
        for info in self.content.list()? {
            let info = info?;
            let young = info.modified > before;
            if young || in_use.contains(&info.digest) || !self.sweep_one(&info.digest, before)? {
                report.contents_kept += 1;
            } else {
                report.contents_removed += 1;
                report.bytes_freed += info.size;
            }
        }
        Ok(())
    }

    fn sweep_one(&self, digest: &Digest, before: SystemTime) -> Result<bool, RegistryError> {
        let _neither_placed_nor_linked_meanwhile = self.shards.lock(digest);
        if self.metadata.is_linked(digest)? {
            return Ok(false);
        }
        // It may have been stored again since it was listed.
        if self.content.info(digest)?.is_none_or(|info| info.modified > before) {
            return Ok(false);
        }
        Ok(self.content.delete(digest)?)
    }

    fn find_missing(&self, report: &mut GcReport) -> Result<(), RegistryError> {
        let mut after = None;
        loop {
            let linked = self.metadata.linked(after.as_ref(), BATCH)?;
            let Some(last) = linked.last() else { return Ok(()) };
            after = Some(*last);
            for digest in linked {
                // Looked for again under the lock: it may have just been deleted with its link.
                let gone = !self.content.has(&digest)? && {
                    let _settled = self.shards.lock(&digest);
                    self.metadata.is_linked(&digest)? && !self.content.has(&digest)?
                };
                if gone && report.missing.len() < MAX_MISSING {
                    tracing::error!(%digest, "content is missing; hint: push its image again");
                    report.missing.push(digest);
                }
            }
        }
    }
}
