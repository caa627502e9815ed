//! Making an image ready to run.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::registry::Registry;
use api::warm::Source;
use arc_swap::ArcSwap;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use image::manifest::Platform;
use image::{ContentError, ContentStore, Digest, Document, Image, Layer, LayerStore};
use image::{ManifestError, UnpackError};
use parking_lot::Mutex;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::time::timeout;

use super::collect::{Pressure, Usage};
use super::keep::Copying;
use super::neighbours::Neighbours;
use super::origin::{OriginError, Origins};
use super::pipe::{PipeWriter, pipe};
use super::registry::{RegistryError, Repository};

/// Layers fetched at once on this host: enough to hide the waiting of one behind another's
/// unpacking, few enough to leave the cores to the apps.
const PARALLEL: usize = 3;

/// How deep an index may refer to an index.
const MAX_INDEX_DEPTH: usize = 4;

/// How long a blob may stand still.
const IDLE: Duration = Duration::from_secs(30);

/// Why an image is not ready.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The stores could not be opened.
    #[error("open the image store at {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The digest is not one.
    #[error("read the image's digest")]
    Digest(#[from] image::DigestError),
    /// The registry did not give it.
    #[error("fetch the image")]
    Registry(#[from] RegistryError),
    /// The manifest or configuration is not as it should be.
    #[error("read the image")]
    Manifest(#[from] ManifestError),
    /// A document could not be kept.
    #[error("keep the image's manifest")]
    Content(#[from] ContentError),
    /// A layer could not be unpacked.
    #[error("unpack the image")]
    Unpack(#[from] UnpackError),
    /// The registries are described wrongly.
    #[error("take the list of registries")]
    Origins(#[from] OriginError),
    /// The task of a blocking call ended early: the process is going down.
    #[error("finish a call that was broken off")]
    BrokenOff,
}

impl ImagesError {
    /// Whether trying again soon may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Content(_) | Self::BrokenOff => true,
            Self::Digest(_) | Self::Origins(_) => false,
            Self::Registry(error) => error.retryable(),
            Self::Manifest(error) => matches!(error, ManifestError::Content { .. }),
            Self::Unpack(error) => error.retryable(),
        }
    }
}

/// When things here were last used.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) layers: Usage,
    /// As transferred.
    pub(super) contents: Usage,
}

/// Where an image may be had.
struct Places {
    image: Digest,
    /// Hosts that have it.
    sources: Vec<Source>,
    repository: Repository,
}

/// The images of this host.
pub struct Images {
    pub(super) content: ContentStore,
    pub(super) layers: LayerStore,
    origins: ArcSwap<Origins>,
    platform: Platform,
    /// Images that were ready once, by the digest asked for.
    pub(super) ready: Mutex<HashMap<Digest, Arc<Image>>>,
    /// One fetch per layer at a time.
    fetching: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    permits: Semaphore,
    /// Fetches hold it shared, the collector alone.
    pub(super) collecting: RwLock<()>,
    pub(super) usage: Mutex<Used>,
    pub(super) root: PathBuf,
    /// Other hosts that may have what this one lacks. With them, blobs are kept for those.
    neighbours: OnceLock<Arc<Neighbours>>,
    /// Images whose every layer is here, as it is reported.
    pub(super) held: watch::Sender<Vec<api::digest::Digest>>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Images {
    /// Opens the stores below `root`.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn open(root: &Path, origins: Origins) -> Result<Self, ImagesError> {
        let failed = |source| ImagesError::Open { path: root.to_owned(), source };
        let content = ContentStore::open(root.join("documents")).map_err(|e| failed(e.into()))?;
        let layers = LayerStore::open(root.join("unpacked")).map_err(|e| failed(e.into()))?;
        Ok(Self {
            content,
            layers,
            origins: ArcSwap::from_pointee(origins),
            platform: Platform::host(),
            ready: Mutex::new(HashMap::new()),
            fetching: Mutex::new(HashMap::new()),
            permits: Semaphore::new(PARALLEL),
            collecting: RwLock::new(()),
            usage: Mutex::default(),
            root: root.to_owned(),
            neighbours: OnceLock::new(),
            held: watch::Sender::default(),
        })
    }

    /// From now on reaches registries as described.
    ///
    /// # Errors
    /// A description is wrong; the old ones stay.
    pub fn set_registries(&self, registries: &[Registry]) -> Result<(), ImagesError> {
        self.origins.store(Arc::new(self.origins.load().with(registries)?));
        Ok(())
    }

    /// From now on asks other hosts first, and keeps blobs for them. Only the first call counts.
    pub fn set_neighbours(&self, neighbours: Arc<Neighbours>) {
        if self.neighbours.set(neighbours).is_err() {
            tracing::warn!("the other hosts are known already");
        }
    }

    /// The directories of an image's layers, base first.
    #[must_use]
    pub fn directories(&self, image: &Image) -> Vec<PathBuf> {
        image.layers.iter().map(|layer| self.layers.path(&layer.diff_id)).collect()
    }

    /// Makes an image ready; says how far it is through `progress`.
    ///
    /// # Errors
    /// Says what could not be fetched or unpacked and whether trying again may help.
    pub async fn ensure(
        &self,
        wanted: &api::release::Image,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Arc<Image>, ImagesError> {
        let digest: Digest = wanted.digest.as_str().parse()?;
        let _held = self.collecting.read().await;
        if let Some(image) = self.warm(&digest) {
            return Ok(image);
        }
        let origin = self.origins.load().of(wanted.registry.as_deref());
        let repository = Repository::new(origin, &wanted.repository);
        let sources = self.neighbours.get().map(|known| known.of(&digest)).unwrap_or_default();
        let repository = Places { image: digest, sources, repository };
        let image = match self.known(digest).await? {
            Some(image) => image,
            None => {
                progress("fetching the image's manifest".to_owned());
                self.fetch_documents(&repository, digest).await?
            }
        };
        let image = Arc::new(image);
        self.fetch_layers(&repository, &image, progress).await?;
        self.ready.lock().insert(digest, image.clone());
        self.tell_held();
        Ok(image)
    }

    /// An image whose every layer is here; costs one look at each layer's directory.
    pub(super) fn warm(&self, digest: &Digest) -> Option<Arc<Image>> {
        let image = self.ready.lock().get(digest).cloned()?;
        image.layers.iter().all(|layer| self.layers.has(&layer.diff_id)).then_some(image)
    }

    /// The image from its documents on disk, when all of them are there and sound.
    pub(super) async fn known(&self, digest: Digest) -> Result<Option<Image>, ImagesError> {
        let (content, platform) = (self.content.clone(), self.platform.clone());
        let load = move || Image::load(&content, &digest, &platform);
        match tokio::task::spawn_blocking(load).await.map_err(|_| ImagesError::BrokenOff)? {
            Ok(image) => Ok(Some(image)),
            // Missing or damaged here: fetched anew.
            Err(ManifestError::Content { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch_documents(&self, places: &Places, digest: Digest) -> Result<Image, ImagesError> {
        let mut next = digest;
        for _ in 0..MAX_INDEX_DEPTH {
            let (bytes, media) = self.manifest(places, &next).await?;
            self.content.delete(&next)?;
            self.content.write(&bytes)?;
            let document = Document::parse(&bytes, media.as_deref())
                .or_else(|error| Document::parse(&bytes, None).map_err(|_| error))?;
            match document {
                Document::Index(index) => {
                    let chosen =
                        self.platform.choose(&index).ok_or_else(|| ManifestError::Platform {
                            index: next,
                            wanted: self.platform.clone(),
                            offered: Platform::offered(&index),
                        })?;
                    next = Digest::try_from(chosen.digest())?;
                }
                Document::Image(manifest) => {
                    let config = Digest::try_from(manifest.config().digest())?;
                    let bytes = self.configuration(places, &config).await?;
                    self.content.delete(&config)?;
                    self.content.write(&bytes)?;
                    return Ok(Image::assemble(next, &manifest, &bytes, &self.platform)?);
                }
            }
        }
        let why = format!("indexes refer to indexes more than {MAX_INDEX_DEPTH} deep");
        Err(ManifestError::NotRunnable { image: digest, why }.into())
    }

    async fn fetch_layers(
        &self,
        repository: &Places,
        image: &Image,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), ImagesError> {
        let missing: Vec<&Layer> =
            image.layers.iter().filter(|layer| !self.layers.has(&layer.diff_id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let bytes: u64 = missing.iter().map(|layer| layer.size).sum();
        let (mut done, count) = (0, missing.len());
        let size = api::unit::Bytes(bytes.next_multiple_of(1 << 20));
        let tell = |done| format!("fetching layers: {done} of {count} done, {size} in all");
        progress(tell(done));
        let mut fetches: FuturesUnordered<_> =
            missing.into_iter().map(|layer| self.fetch_layer(repository, layer)).collect();
        while fetches.try_next().await?.is_some() {
            done += 1;
            progress(tell(done));
        }
        Ok(())
    }

    async fn fetch_layer(&self, repository: &Places, layer: &Layer) -> Result<(), ImagesError> {
        let one = self.fetching.lock().entry(layer.diff_id).or_default().clone();
        let _alone = one.lock().await;
        let result = self.fetch_alone(repository, layer).await;
        self.fetching.lock().remove(&layer.diff_id);
        result
    }

    async fn fetch_alone(&self, places: &Places, layer: &Layer) -> Result<(), ImagesError> {
        if self.layers.has(&layer.diff_id) {
            return Ok(());
        }
        let _permit = self.permits.acquire().await.map_err(|_| ImagesError::BrokenOff)?;
        for source in &places.sources {
            let Some(neighbours) = self.neighbours.get() else { break };
            let given = match neighbours.get(source, &places.image, &layer.blob).await {
                Ok(body) => self.unpack(layer, body).await,
                Err(error) => {
                    tracing::info!(host = %source.host, layer = %layer.blob, %error, "not given");
                    continue;
                }
            };
            match given {
                Ok(()) => {
                    tracing::info!(layer = %layer.blob, from = %source.host, "fetched a layer");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(host = %source.host, layer = %layer.blob, %error, "not given");
                }
            }
        }
        let body = places.repository.blob(&layer.blob).await?;
        self.unpack(layer, body).await?;
        tracing::info!(layer = %layer.blob, from = "registry", "fetched a layer");
        Ok(())
    }

    /// Unpacks a layer as it comes, and keeps it as it came where other hosts may ask for it.
    async fn unpack(&self, layer: &Layer, body: Incoming) -> Result<(), ImagesError> {
        let (writer, reader) = pipe();
        let (layers, layer) = (self.layers.clone(), layer.clone());
        let keeps = self.neighbours.get().is_some() && self.pressure() == Pressure::None;
        let copy = if keeps { Some(self.content.writer()?) } else { None };
        let unpack = tokio::task::spawn_blocking(move || {
            let mut reader = Copying::new(reader, copy);
            layers.unpack(&layer, &mut reader)?;
            reader.keep(&layer.blob);
            Ok::<_, UnpackError>(())
        });
        pour(body, writer).await;
        unpack.await.map_err(|_| ImagesError::BrokenOff)??;
        Ok(())
    }

    async fn manifest(
        &self,
        places: &Places,
        digest: &Digest,
    ) -> Result<(Vec<u8>, Option<String>), ImagesError> {
        match self.given(places, digest).await {
            Some(bytes) => Ok((bytes, None)),
            None => Ok(places.repository.manifest(digest).await?),
        }
    }

    async fn configuration(
        &self,
        places: &Places,
        digest: &Digest,
    ) -> Result<Vec<u8>, ImagesError> {
        match self.given(places, digest).await {
            Some(bytes) => Ok(bytes),
            None => Ok(places.repository.document(digest).await?),
        }
    }

    /// A document from another host.
    async fn given(&self, places: &Places, digest: &Digest) -> Option<Vec<u8>> {
        let neighbours = self.neighbours.get()?;
        for source in &places.sources {
            match neighbours.document(source, &places.image, digest).await {
                Ok(bytes) => return Some(bytes),
                Err(error) => {
                    tracing::info!(host = %source.host, document = %digest, %error, "not given");
                }
            }
        }
        None
    }
}

/// Moves a body into a pipe until either ends; a failure goes through the pipe.
async fn pour(mut body: Incoming, writer: PipeWriter) {
    loop {
        let piece = match timeout(IDLE, body.frame()).await {
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the registry fell silent")),
            Ok(None) => return,
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
        };
        let failed = piece.is_err();
        // A reader that is gone has said why by itself.
        if writer.send(piece).await.is_err() || failed {
            return;
        }
    }
}
