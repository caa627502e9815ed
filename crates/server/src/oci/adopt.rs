//! Following what is written down for all registries of the cluster: the database here becomes
//! what the records say. A manifest that is not here is fetched; its blobs come when somebody
//! wants them.

use std::collections::{BTreeMap, BTreeSet};

use image::manifest::MAX_DOCUMENT_BYTES;
use image::{ContentError, Digest};

use super::cluster::{Record, Records, TagRecord};
use super::metadata::{Guards, NewManifest};
use super::push::{Pushed, read_manifest};
use super::shared::read_document;
use super::{ManifestName, Registry, RegistryError, RepositoryName};

/// What following the records did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Images that others took.
    pub added: u64,
    /// Images that were deleted elsewhere.
    pub removed: u64,
    /// Tags that were set or deleted elsewhere.
    pub tags: u64,
    /// Images whose manifest no other server gave.
    pub absent: u64,
    /// Images that releases need and that nothing is written down of.
    pub unrecorded: Vec<Record>,
}

/// A manifest as it is written down.
pub(super) fn record_of(new: &NewManifest, size: u64, pushed: i64) -> Record {
    Record {
        repository: new.repository.clone(),
        digest: new.digest,
        media_type: new.media_type.clone(),
        size,
        pusher: new.pusher.clone(),
        pushed,
    }
}

type Image = (RepositoryName, Digest);

impl Registry {
    /// Makes the database what the records say. `records` are read after what is here was listed:
    /// what was written down before it was listed is among them.
    ///
    /// # Errors
    /// [`RegistryError::Content`] and [`RegistryError::Database`].
    pub async fn follow(
        &self,
        records: impl FnOnce() -> Records,
    ) -> Result<Adopted, RegistryError> {
        let (here, tags) = self
            .blocking(|inner| Ok((inner.metadata.all_manifests()?, inner.metadata.all_tags()?)))
            .await?;
        let records = records();
        let mut done = Adopted::default();
        let here: BTreeSet<Image> =
            here.into_iter().map(|(repository, digest, _)| (repository, digest)).collect();
        let wanted: BTreeSet<Image> =
            records.images.iter().map(|r| (r.repository.clone(), r.digest)).collect();
        for record in records.images {
            let image = (record.repository.clone(), record.digest);
            if !here.contains(&image) {
                match self.adopt(record).await {
                    Ok(true) => done.added += 1,
                    Ok(false) => done.absent += 1,
                    Err(error) => {
                        let (repository, digest) = image;
                        tracing::warn!(%repository, %digest, %error, "adopt an image");
                        done.absent += 1;
                    }
                }
            }
        }
        let unknown = here.difference(&wanted).cloned();
        let (lost, gone): (Vec<Image>, Vec<Image>) =
            unknown.partition(|(_, digest)| records.used.contains(digest));
        done.removed = gone.len() as u64;
        if !lost.is_empty() {
            let mut all = self.records().await?.images;
            all.retain(|r| lost.contains(&(r.repository.clone(), r.digest)));
            done.unrecorded = all;
        }
        done.tags = self
            .blocking(move |inner| {
                for (repository, digest) in gone {
                    inner.metadata.remove_manifest(&repository, &digest, &Guards::default())?;
                }
                set_tags(&inner.metadata, tags, records.tags)
            })
            .await?;
        Ok(done)
    }

    /// Sees to it that a manifest that is written down is here; `false` where no server gives it.
    pub(super) async fn adopt_one(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let Some(cluster) = self.cluster() else { return Ok(false) };
        let (place, name) = (repository.clone(), ManifestName::Digest(*digest));
        let here = self.blocking(move |inner| inner.metadata.manifest(&place, &name)).await?;
        if here.is_some() {
            return Ok(true);
        }
        match cluster.image(repository, digest) {
            Some((record, _)) => self.adopt(record).await,
            None => Ok(false),
        }
    }

    /// Takes a manifest over by its record; `false` where no server gives it.
    async fn adopt(&self, record: Record) -> Result<bool, RegistryError> {
        let digest = record.digest;
        let content = match self.blocking(move |inner| read_document(inner, &digest)).await {
            Ok(content) => content,
            Err(RegistryError::Content(
                ContentError::NotFound(_) | ContentError::Corrupt { .. },
            )) => {
                let Some(cluster) = self.cluster() else { return Ok(false) };
                let Some(incoming) = cluster.open(None, &digest).await else {
                    return Ok(false);
                };
                if incoming.size > MAX_DOCUMENT_BYTES as u64 {
                    return Ok(false);
                }
                self.receive(digest, None, incoming).await?;
                self.blocking(move |inner| read_document(inner, &digest)).await?
            }
            Err(error) => return Err(error),
        };
        let pushed = Pushed {
            repository: record.repository,
            name: ManifestName::Digest(digest),
            declared: Some(record.media_type),
            content,
            pusher: record.pusher,
        };
        let new = read_manifest(&pushed)?;
        self.blocking(move |inner| {
            let _placed_and_linked = inner.shards.lock(&digest);
            inner.content.write(&pushed.content)?;
            inner.metadata.adopt_manifest(&new, record.pushed)?;
            Ok(true)
        })
        .await
    }

    /// Everything that is here, to be written down when the registry becomes one of several.
    ///
    /// # Errors
    /// [`RegistryError::Content`] and [`RegistryError::Database`].
    pub async fn records(&self) -> Result<Records, RegistryError> {
        let images = self.list(None).await?;
        let millis = |time| super::metadata::millis(time);
        let (rows, tags) = self
            .blocking(|inner| Ok((inner.metadata.all_manifests()?, inner.metadata.all_tags()?)))
            .await?;
        let mut known: BTreeMap<Image, Record> = BTreeMap::new();
        for image in images {
            let record = Record {
                repository: image.repository.clone(),
                digest: image.digest,
                media_type: image.media_type,
                size: image.total_size,
                pusher: image.pusher,
                pushed: millis(image.pushed),
            };
            known.insert((image.repository, image.digest), record);
        }
        known.retain(|(repository, digest), _| {
            rows.iter().any(|(r, d, _)| (r, d) == (repository, digest))
        });
        let tags = tags.into_iter();
        let tags = tags.map(|(repository, tag, digest, pushed)| TagRecord {
            repository,
            tag,
            digest,
            pushed,
        });
        let images = known.into_values().collect();
        Ok(Records { images, tags: tags.collect(), used: BTreeSet::new() })
    }

    /// Whether what is here was ever written down for all registries.
    #[must_use]
    pub fn is_written_down(&self) -> bool {
        self.written_down().exists()
    }

    /// Notes that what is here is written down.
    ///
    /// # Errors
    /// The disk.
    pub fn note_written_down(&self) -> Result<(), RegistryError> {
        let path = self.written_down();
        std::fs::write(&path, b"").map_err(|source| RegistryError::Open {
            path: path.display().to_string(),
            why: "noting that its images are written down failed".to_owned(),
            source: Some(source),
        })
    }

    fn written_down(&self) -> std::path::PathBuf {
        self.content().root().with_file_name("shared")
    }
}

/// Sets and removes tags until they are those wanted; gives how many changed. A tag whose image is
/// not here yet waits for it.
fn set_tags(
    metadata: &super::metadata::Metadata,
    here: Vec<(RepositoryName, String, Digest, i64)>,
    wanted: Vec<TagRecord>,
) -> Result<u64, RegistryError> {
    let mut here: BTreeMap<(RepositoryName, String), Digest> =
        here.into_iter().map(|(repository, tag, digest, _)| ((repository, tag), digest)).collect();
    let mut changed = 0;
    for TagRecord { repository, tag, digest, pushed } in wanted {
        let key = (repository, tag);
        if here.remove(&key) != Some(digest) {
            changed += u64::from(metadata.set_tag(&key.0, &key.1, &digest, pushed)?);
        }
    }
    for (repository, tag) in here.into_keys() {
        changed += u64::from(metadata.remove_tag(&repository, &tag)?);
    }
    Ok(changed)
}
