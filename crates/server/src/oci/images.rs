//! Questions about images, for the rest of the server.

use std::time::SystemTime;

use image::manifest::Platform;
use image::{Digest, Image, ManifestError};

use super::metadata::from_millis;
use super::{ManifestName, Registry, RegistryError, RepositoryName};

/// Most rows of a list of images; a row has at most some 600 bytes, so a list has at most
/// 10,000 × 600 bytes = 6 MB.
const MAX_LISTED: usize = 10_000;

/// What a tag or digest means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its own size in bytes.
    pub size: u64,
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// Where it is.
    pub repository: RepositoryName,
    /// One of its tags; `None` when it has none.
    pub tag: Option<String>,
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Bytes of the manifest and of all its parts that are here, each once.
    pub total_size: u64,
    /// When this tag was last pushed; without a tag, when the image was.
    pub pushed: SystemTime,
    /// Who last pushed the image.
    pub pusher: String,
}

impl Registry {
    /// What `tag_or_digest` means in `repository`; `None` when it is not there.
    ///
    /// # Errors
    /// [`RegistryError::Name`] when a name is malformed, [`RegistryError::Database`],
    /// [`RegistryError::Cluster`].
    pub async fn resolve(
        &self,
        repository: &str,
        tag_or_digest: &str,
    ) -> Result<Option<Resolved>, RegistryError> {
        let repository: RepositoryName = repository.parse()?;
        let name: ManifestName = tag_or_digest.parse()?;
        let found = self.find(&repository, &name).await?;
        Ok(found.map(|row| Resolved {
            digest: row.digest,
            media_type: row.media_type,
            size: row.size,
        }))
    }

    /// Images by repository and tag, of one repository or of all; the first 10,000.
    ///
    /// # Errors
    /// [`RegistryError::Database`].
    pub async fn list(
        &self,
        repository: Option<RepositoryName>,
    ) -> Result<Vec<ListedImage>, RegistryError> {
        let rows = self
            .blocking(move |inner| inner.metadata.images(repository.as_ref(), MAX_LISTED))
            .await?;
        let image = |row: super::metadata::Listed| ListedImage {
            repository: row.repository,
            tag: row.tag,
            digest: row.digest,
            media_type: row.media_type,
            total_size: row.total_size,
            pushed: from_millis(row.pushed),
            pusher: row.pusher,
        };
        Ok(rows.into_iter().map(image).collect())
    }

    /// What the image `digest` runs, chosen from an index for this machine; `None` when the
    /// content is not here.
    ///
    /// # Errors
    /// What is wrong with the image, such as [`ManifestError::NotRunnable`]. The outer error is
    /// [`RegistryError::Stopping`].
    pub async fn config_of(
        &self,
        digest: Digest,
    ) -> Result<Option<Result<Image, ManifestError>>, RegistryError> {
        self.blocking(move |inner| {
            if !inner.content.has(&digest)? {
                return Ok(None);
            }
            Ok(Some(Image::load(&inner.content, &digest, &Platform::host())))
        })
        .await
    }
}
