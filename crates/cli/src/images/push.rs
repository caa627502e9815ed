//! From the local store into the cluster's registry: what is there is not sent again, and a
//! manifest follows what it refers to.

use std::collections::BTreeSet;

use client::{Client, Registry};
use image::manifest::known_document;
use image::{Digest, Document};

use super::{InCluster, LocalImages, api_digest};
use crate::failure::Failure;
use crate::output::{Bar, Progress};

/// How deep indexes may refer to indexes.
const MAX_DEPTH: usize = 4;

/// Pushes the image `digest` under the tag or digest of `to`.
pub(crate) async fn push(
    client: &Client,
    images: &LocalImages,
    digest: Digest,
    to: &InCluster,
    progress: &Progress,
) -> Result<(), Failure> {
    let work = Push {
        registry: client.registry(&to.repository),
        images,
        others: repositories(images, &to.repository)?,
        progress,
    };
    work.document(&digest, &to.wanted, MAX_DEPTH).await
}

/// Repositories of the cluster from which images here came.
fn repositories(images: &LocalImages, but: &str) -> Result<Vec<(String, Digest)>, Failure> {
    let names = images.names()?;
    let pulled = names.iter().filter(|(_, entry)| entry.pulled);
    let repository = |(name, entry): (&String, &super::Entry)| {
        let reference: image::Reference = name.parse().ok()?;
        let elsewhere = reference.host().is_none() && reference.path() != but;
        elsewhere.then(|| (reference.path().to_owned(), entry.digest))
    };
    Ok(pulled.filter_map(repository).collect())
}

struct Push<'a> {
    registry: Registry,
    images: &'a LocalImages,
    others: Vec<(String, Digest)>,
    progress: &'a Progress,
}

impl Push<'_> {
    /// Pushes a document after all it refers to.
    async fn document(&self, digest: &Digest, name: &str, depth: usize) -> Result<(), Failure> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Failure::invalid(format!(
                "push {digest}: its indexes are nested too deep"
            )));
        };
        let (bytes, document) = self.images.document(digest)?;
        for part in document.references() {
            let part_digest: Digest = part.digest().to_string().parse()?;
            if known_document(part.media_type().as_ref()) {
                // Other platforms' may have been left out.
                if self.images.content.has(&part_digest)? {
                    Box::pin(self.document(&part_digest, &part_digest.to_string(), depth)).await?;
                }
            } else {
                self.blob(&part_digest, part.size()).await?;
            }
        }
        let media_type = document.media_type();
        let (_, warning) = self.registry.push_manifest(name, &media_type, bytes.into()).await?;
        if let Some(warning) = warning {
            self.progress.line(&format!("warning: {warning}"));
        }
        if matches!(document, Document::Image(_)) {
            self.progress.line(&format!("pushed {name} {}", api_digest(digest).short()));
        }
        Ok(())
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<(), Failure> {
        let short = api_digest(digest).short().to_owned();
        let bar = self.progress.bytes(&short, size);
        let wanted = api_digest(digest);
        if self.registry.blob_size(&wanted).await?.is_some() {
            bar.done("is there already");
            return Ok(());
        }
        if self.mounted(digest).await? {
            bar.done("is mounted");
            return Ok(());
        }
        self.send(digest, size, &bar).await?;
        bar.done("pushed");
        Ok(())
    }

    async fn send(&self, digest: &Digest, size: u64, bar: &Bar) -> Result<(), Failure> {
        let path = self.images.content.path(digest);
        let file = tokio::fs::File::open(&path).await;
        let mut file = file.map_err(|e| Failure::io(format!("open {}", path.display()), &e))?;
        let wanted = api_digest(digest);
        Ok(self.registry.push_blob(&wanted, size, &mut file, |bytes| bar.at(bytes)).await?)
    }

    /// Tries to have the blob made known from a repository that has it.
    async fn mounted(&self, digest: &Digest) -> Result<bool, Failure> {
        for (repository, image) in &self.others {
            let mut parts = BTreeSet::new();
            self.images.reach(image, &mut parts, MAX_DEPTH)?;
            if parts.contains(digest) {
                return Ok(self.registry.mount_blob(&api_digest(digest), repository).await?);
            }
        }
        Ok(false)
    }
}
