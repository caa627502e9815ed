//! Deleting what nobody uses.

use super::metadata::Guards;
use super::registry::Inner;
use super::{InUse, ManifestName, Registry, RegistryError, RepositoryName};

/// How often it is tried to see what is in use while releases are made. Each try fails only when
/// a release was made during it.
const TRIES: usize = 100;

impl Registry {
    /// Deletes a tag, or an image with all its tags. Deleting a tag leaves the image, which
    /// releases know by its digest.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`], [`RegistryError::InUse`], [`RegistryError::Name`],
    /// [`RegistryError::UsersUnknown`], [`RegistryError::Database`].
    pub async fn delete(
        &self,
        repository: &str,
        tag_or_digest: &str,
        in_use: &dyn InUse,
    ) -> Result<(), RegistryError> {
        let repository: RepositoryName = repository.parse()?;
        let manifest: ManifestName = tag_or_digest.parse()?;
        let (place, name) = (repository.clone(), manifest.clone());
        let gone = match (self.cluster().cloned(), manifest) {
            (Some(cluster), manifest) => {
                self.forget(&cluster, &repository, &manifest, in_use).await?
            }
            (None, ManifestName::Tag(tag)) => {
                self.blocking(move |inner| inner.metadata.remove_tag(&place, &tag)).await?
            }
            (None, ManifestName::Digest(digest)) => {
                self.guarded(in_use, move |inner, guards| {
                    inner.metadata.remove_manifest(&place, &digest, guards)
                })
                .await?
            }
        };
        if gone {
            Ok(())
        } else {
            Err(RegistryError::ManifestUnknown { repository, manifest: name })
        }
    }

    /// Runs `work` with what is in use while it runs. Nothing can come into use meanwhile: that
    /// takes a hold, and either the hold is there when `work` starts, or it is taken after `work`
    /// ended, or it went away since the question was asked; then the question is asked again.
    pub(super) async fn guarded<T: Send + 'static>(
        &self,
        in_use: &dyn InUse,
        work: impl Fn(&Inner, &Guards) -> Result<T, RegistryError> + Clone + Send + 'static,
    ) -> Result<T, RegistryError> {
        for _ in 0..TRIES {
            let before = self.inner().holds.lock().released;
            let uses = in_use.in_use().await?;
            let work = work.clone();
            let done = self
                .blocking(move |inner| {
                    let holds = inner.holds.lock();
                    if holds.released != before {
                        return Ok(None);
                    }
                    let guards = Guards::new(uses.into_iter().chain(holds.uses()));
                    work(inner, &guards).map(Some)
                })
                .await?;
            if let Some(done) = done {
                return Ok(done);
            }
        }
        Err(RegistryError::UsersChanging)
    }
}
