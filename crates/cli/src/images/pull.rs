//! From the cluster's registry into the local store: every blob is checked, and a manifest follows
//! what it refers to.

use std::io::Write;

use client::{Client, Registry};
use image::manifest::{Platform, known_document};
use image::{Digest, Document};

use super::{InCluster, LocalImages, api_digest, image_digest};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Progress;

/// How deep indexes may refer to indexes.
const MAX_DEPTH: usize = 4;

/// Bytes on their way from the network to the disk.
const PIPE_BYTES: usize = 256 << 10;

/// Pulls an image and names it here as in the cluster; of an index what this machine's platform
/// needs, and the index itself.
pub(crate) async fn pull(
    client: &Client,
    images: &LocalImages,
    from: &InCluster,
    progress: &Progress,
) -> Result<Digest, Failure> {
    let registry = client.registry(&from.repository);
    let work = Pull { registry, images, progress };
    let digest = work.document(&from.wanted, MAX_DEPTH).await?;
    images.name(&from.reference, digest, true)?;
    Ok(digest)
}

/// The image's digest in the local store, pulled where it is not there.
pub(crate) async fn ensure(
    client: impl FnOnce() -> Result<Client, Failure>,
    images: &LocalImages,
    reference: &image::Reference,
    progress: &Progress,
) -> Result<Digest, Failure> {
    if let Some(digest) = images.find(reference)? {
        return Ok(digest);
    }
    let client = client().map_err(|failure| {
        let message = format!("find image {reference}: it is not on this machine");
        Failure::new(failure.exit, message)
            .because(failure.message)
            .hint("build or import it; or say where the cluster is, to pull it from there")
    })?;
    let from = InCluster::of(reference, &client)?;
    pull(&client, images, &from, progress).await
}

struct Pull<'a> {
    registry: Registry,
    images: &'a LocalImages,
    progress: &'a Progress,
}

impl Pull<'_> {
    async fn document(&self, wanted: &str, depth: usize) -> Result<Digest, Failure> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Failure::invalid(format!(
                "pull {wanted}: its indexes are nested too deep"
            )));
        };
        let Some(manifest) = self.registry.manifest(wanted).await? else {
            let message = format!("pull {wanted}: the cluster's registry has no such image");
            return Err(Failure::new(Exit::NotFound, message).hint("freehold image list"));
        };
        let document = Document::parse(&manifest.bytes, Some(&manifest.media_type))?;
        match &document {
            Document::Index(index) => {
                let platform = Platform::host();
                let Some(chosen) = platform.choose(index) else {
                    let offered = Platform::offered(index);
                    let message = format!("pull {wanted}: it has nothing for {platform}");
                    return Err(Failure::invalid(message).because(format!("it is for {offered}")));
                };
                Box::pin(self.document(chosen.digest().as_ref(), depth)).await?;
            }
            Document::Image(_) => {
                for part in document.references() {
                    let digest: Digest = part.digest().to_string().parse()?;
                    if known_document(part.media_type().as_ref()) {
                        return Err(Failure::invalid(format!("pull {wanted}: it is no image")));
                    }
                    self.blob(&digest, part.size()).await?;
                }
            }
        }
        let digest = image_digest(&manifest.digest);
        self.images.content.ingest(&manifest.bytes[..], Some(&digest))?;
        Ok(digest)
    }

    async fn blob(&self, digest: &Digest, size: u64) -> Result<(), Failure> {
        let wanted = api_digest(digest);
        let bar = self.progress.bytes(wanted.short(), size);
        if self.images.content.has(digest)? {
            bar.done("is there already");
            return Ok(());
        }
        let mut writer = self.images.content.writer()?;
        let (mut sink, source) = tokio::io::duplex(PIPE_BYTES);
        let store = async {
            use tokio::io::AsyncReadExt;
            let mut source = source;
            let mut buffer = vec![0; PIPE_BYTES];
            loop {
                match source.read(&mut buffer).await {
                    Ok(0) => return Ok(writer),
                    Ok(n) => writer.write_all(&buffer[..n])?,
                    Err(error) => return Err(error),
                }
            }
        };
        let fetch = async {
            let fetched = self.registry.pull_blob(&wanted, &mut sink, |bytes| bar.at(bytes)).await;
            drop(sink);
            fetched
        };
        let (fetched, stored) = tokio::join!(fetch, store);
        // A full disk ends the fetching too: its own error comes first.
        let writer = stored.map_err(|e| Failure::io(format!("store blob {digest}"), &e))?;
        fetched?;
        writer.commit(Some(digest))?;
        bar.done("pulled");
        Ok(())
    }
}
