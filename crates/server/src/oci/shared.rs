//! What reading, pushing and deleting are where the registry is one of several of a cluster.

use std::sync::Arc;

use api::id::ServerId;
use axum::body::Body;
use image::manifest::Document;
use image::{ContentError, Digest};

use super::adopt::record_of;
use super::cluster::{Cluster, ClusterError, Copies, Wanted};
use super::metadata::{ManifestRow, NewManifest, millis};
use super::push::{Pushed, Stored, read_manifest};
use super::registry::Inner;
use super::{InUse, ManifestName, Registry, RegistryError, RepositoryName};

/// How often a deletion is tried while releases of the image are made.
const TRIES: usize = 20;

impl Registry {
    /// Finds a manifest, also one that this registry has not heard of yet.
    pub(super) async fn find(
        &self,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> Result<Option<ManifestRow>, RegistryError> {
        let (place, mut wanted) = (repository.clone(), name.clone());
        if let Some(cluster) = self.cluster() {
            let digest = match name {
                ManifestName::Digest(digest) => *digest,
                ManifestName::Tag(tag) => match cluster.tag(repository, tag).await? {
                    Some(digest) => digest,
                    None => return Ok(None),
                },
            };
            if cluster.image(repository, &digest).is_none() {
                return Ok(None);
            }
            if !self.adopt_one(repository, &digest).await? {
                return Err(absent(repository, &digest));
            }
            wanted = ManifestName::Digest(digest);
        }
        self.blocking(move |inner| inner.metadata.manifest(&place, &wanted)).await
    }

    /// Takes a pushed manifest, with the number of servers that have the image then.
    pub(super) async fn take_manifest(
        &self,
        pushed: Pushed,
    ) -> Result<(Stored, Copies), RegistryError> {
        let Some(cluster) = self.cluster().cloned() else {
            let stored = self.blocking(move |inner| inner.put_manifest(&pushed)).await?;
            return Ok((stored, Copies::Single));
        };
        let new = read_manifest(&pushed)?;
        self.fetch_parts(&cluster, &new).await?;
        let (content, digest) = (pushed.content, new.digest);
        self.blocking(move |inner| {
            let _placed = inner.shards.lock(&digest);
            Ok(inner.content.write(&content)?)
        })
        .await?;
        let needs = self.needs(vec![digest]).await?;
        let copies = cluster.copy(&new.repository, &needs).await;
        let stored = Stored { digest, subject: new.subject };
        let size = needs.iter().map(|wanted| wanted.size).sum();
        let now = self.inner().now();
        cluster.record(&record_of(&new, size, millis(now)), new.tag.as_deref()).await?;
        self.blocking(move |inner| {
            let _placed_and_linked = inner.shards.lock(&new.digest);
            inner.metadata.put_manifest(&new, now, &|digest| inner.blob_size(digest))
        })
        .await?;
        Ok((stored, copies))
    }

    /// Fetches parts of a manifest that were pushed to another registry of the cluster.
    async fn fetch_parts(
        &self,
        cluster: &Arc<dyn Cluster>,
        new: &NewManifest,
    ) -> Result<(), RegistryError> {
        let check = |new: NewManifest| {
            self.blocking(move |inner| {
                inner.metadata.check_manifest(&new, &|digest| inner.blob_size(digest))
            })
        };
        let parts = match check(new.clone()).await {
            Err(RegistryError::PartsUnknown { parts, .. }) => parts,
            other => return other,
        };
        for part in parts {
            if cluster.image(&new.repository, &part).is_some() {
                self.adopt_one(&new.repository, &part).await?;
            } else {
                self.fetch(&new.repository, &part).await?;
            }
        }
        check(new.clone()).await
    }

    /// Fetches a blob that is not here from another registry of the cluster; `false` where none
    /// has it.
    pub(super) async fn fetch(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let Some(cluster) = self.cluster() else { return Ok(false) };
        let _turn = self.inner().receiving.turn(digest).await;
        if self.inner().content.has(digest)? {
            let (place, digest) = (repository.clone(), *digest);
            if self
                .blocking(move |inner| inner.metadata.blob_touched(&place, &digest))
                .await?
                .is_some()
            {
                return Ok(true);
            }
        }
        let scope = self.scope(repository, digest).await?;
        let Some(incoming) = cluster.open(scope.as_ref(), digest).await else { return Ok(false) };
        self.receive(*digest, Some(repository.clone()), incoming).await?;
        Ok(true)
    }

    /// Where another registry is to look for a blob: anywhere, when it is known here that it
    /// belongs into the repository.
    async fn scope(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<RepositoryName>, RegistryError> {
        let (place, digest) = (repository.clone(), *digest);
        let touched = self.blocking(move |inner| inner.metadata.blob_touched(&place, &digest));
        Ok(if touched.await?.is_some() { None } else { Some(repository.clone()) })
    }

    /// Fetches what is not here of this content, from these servers or any other.
    ///
    /// # Errors
    /// The first that could not be had; what came before it stays for a while.
    pub async fn take_over(
        &self,
        content: Vec<Wanted>,
        from: &[ServerId],
    ) -> Result<(), RegistryError> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        for wanted in self.lacking(content).await? {
            let _turn = self.inner().receiving.turn(&wanted.digest).await;
            if self.inner().content.has(&wanted.digest)? {
                continue;
            }
            let Some(incoming) = cluster.open_from(from, &wanted.digest).await else {
                let digest = wanted.digest;
                return Err(ClusterError(format!("no other server has content {digest}")).into());
            };
            self.receive(wanted.digest, None, incoming).await?;
        }
        Ok(())
    }

    /// The size of a blob, here or in another registry of the cluster.
    pub(super) async fn size_of(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let (place, blob) = (repository.clone(), *digest);
        let asked = place.clone();
        match self.blocking(move |inner| inner.blob(&asked, &blob)).await {
            Err(RegistryError::BlobUnknown { repository, digest }) => {
                let unknown = || RegistryError::BlobUnknown { repository, digest };
                let Some(cluster) = self.cluster() else { return Err(unknown()) };
                let scope = self.scope(&place, &digest).await?;
                let elsewhere = cluster.size(scope.as_ref(), &digest).await;
                elsewhere.ok_or_else(|| match scope {
                    Some(_) => unknown(),
                    None => absent(&place, &digest),
                })
            }
            other => other,
        }
    }

    /// A blob that is not here, whole, as another registry of the cluster sends it, while it is
    /// stored; `None` when it is here now, or nobody has it.
    pub(super) async fn open_elsewhere(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Body>, RegistryError> {
        let Some(cluster) = self.cluster() else { return Ok(None) };
        let turn = self.inner().receiving.turn(digest).await;
        if self.inner().content.has(digest)? {
            return Ok(None);
        }
        let scope = self.scope(repository, digest).await?;
        let Some(incoming) = cluster.open(scope.as_ref(), digest).await else { return Ok(None) };
        Ok(Some(self.pass_on(*digest, repository.clone(), incoming, turn)))
    }

    /// Forgets a tag, or an image that nobody uses, for all registries of the cluster.
    pub(super) async fn forget(
        &self,
        cluster: &Arc<dyn Cluster>,
        repository: &RepositoryName,
        name: &ManifestName,
        in_use: &dyn InUse,
    ) -> Result<bool, RegistryError> {
        let place = repository.clone();
        let digest = match name {
            ManifestName::Tag(tag) => {
                let gone = cluster.forget_tag(repository, tag).await?;
                let tag = tag.clone();
                self.blocking(move |inner| inner.metadata.remove_tag(&place, &tag)).await?;
                return Ok(gone);
            }
            ManifestName::Digest(digest) => *digest,
        };
        for _ in 0..TRIES {
            // First the record, then who uses it: a release that is made in between changes it.
            let Some((_, mark)) = cluster.image(repository, &digest) else { return Ok(false) };
            let place = repository.clone();
            self.guarded(in_use, move |inner, guards| {
                inner.metadata.check_unused(&place, &digest, guards)
            })
            .await?;
            if cluster.forget_image(repository, &digest, mark).await? {
                let place = repository.clone();
                self.blocking(move |inner| {
                    inner.metadata.remove_manifest(
                        &place,
                        &digest,
                        &super::metadata::Guards::default(),
                    )
                })
                .await?;
                return Ok(true);
            }
        }
        Err(RegistryError::UsersChanging)
    }

    /// Everything that images are made of, as far as their manifests are here: themselves, their
    /// blobs, and for an index what of its entries is here. Each once.
    ///
    /// # Errors
    /// [`RegistryError::Content`].
    pub async fn needs(&self, images: Vec<Digest>) -> Result<Vec<Wanted>, RegistryError> {
        self.blocking(move |inner| {
            let mut needs: Vec<Wanted> = Vec::new();
            let mut todo = images;
            while let Some(digest) = todo.pop() {
                if needs.iter().any(|known| known.digest == digest) {
                    continue;
                }
                let content = match read_document(inner, &digest) {
                    Err(RegistryError::Content(ContentError::NotFound(_))) => continue,
                    other => other?,
                };
                needs.push(Wanted { digest, size: content.len() as u64 });
                let Ok(document) = Document::parse(&content, None) else { continue };
                for part in document.references() {
                    let Ok(part_digest) = Digest::try_from(part.digest()) else { continue };
                    if matches!(document, Document::Index(_)) {
                        todo.push(part_digest);
                    } else if !needs.iter().any(|known| known.digest == part_digest) {
                        needs.push(Wanted { digest: part_digest, size: part.size() });
                    }
                }
            }
            Ok(needs)
        })
        .await
    }

    /// Which of these contents are not here. Those that are stay for another while, though nothing
    /// may link them yet.
    ///
    /// # Errors
    /// [`RegistryError::Content`].
    pub async fn lacking(&self, content: Vec<Wanted>) -> Result<Vec<Wanted>, RegistryError> {
        self.blocking(move |inner| {
            let mut lacking = Vec::new();
            for wanted in content {
                let _neither_placed_nor_removed = inner.shards.lock(&wanted.digest);
                if !inner.content.refresh(&wanted.digest)? {
                    lacking.push(wanted);
                }
            }
            Ok(lacking)
        })
        .await
    }

    /// Opens content for another registry of the cluster: where a repository is named, only what
    /// is seen in it.
    ///
    /// # Errors
    /// [`RegistryError::Content`] and [`RegistryError::Database`].
    pub async fn open_for(
        &self,
        repository: Option<RepositoryName>,
        digest: Digest,
    ) -> Result<Option<image::content::BlobReader>, RegistryError> {
        self.blocking(move |inner| {
            if let Some(repository) = repository
                && inner.metadata.blob_touched(&repository, &digest)?.is_none()
                && inner.metadata.manifest(&repository, &ManifestName::Digest(digest))?.is_none()
            {
                return Ok(None);
            }
            match inner.content.reader(&digest) {
                Ok(reader) => Ok(Some(reader)),
                Err(ContentError::NotFound(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

/// It belongs into the repository, and no server that answers has it.
fn absent(repository: &RepositoryName, digest: &Digest) -> RegistryError {
    let why =
        format!("no server that is reachable has content {digest} of repository {repository}");
    ClusterError(why).into()
}

pub(super) fn read_document(inner: &Inner, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
    Ok(inner.content.read(digest, image::manifest::MAX_DOCUMENT_BYTES as u64)?)
}
