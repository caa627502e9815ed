//! What of an image matters to who runs it: its layers in order, and its process.

use std::collections::BTreeMap;

use oci_spec::image::{ImageConfiguration, ImageManifest};

use crate::content::ContentStore;
use crate::digest::Digest;
use crate::manifest::document::{check_size, digest_of, from_json};
use crate::manifest::{Document, LayerMedia, MAX_DOCUMENT_BYTES, ManifestError, Platform, media};

/// How deep an index may refer to an index; images in use have one level.
const MAX_INDEX_DEPTH: usize = 4;

/// An image one can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of the image manifest (not of an index it was chosen from).
    pub digest: Digest,
    /// The digest of the configuration.
    pub config: Digest,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// What to run.
    pub process: Process,
    /// What it runs on.
    pub platform: Platform,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob as transferred.
    pub blob: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// The digest of the archive inside, which names the layer.
    pub diff_id: Digest,
    /// The blob's media type.
    pub media: LayerMedia,
}

/// What an image says about its process (OCI image specification, config.md). Absent lists and
/// texts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The first words of the command.
    pub entrypoint: Vec<String>,
    /// The words after, or the whole command; what a user's arguments replace.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `user[:group]`, names or numbers.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
    /// Ports such as `8080/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// The signal that asks it to stop, such as `SIGQUIT` or `3`.
    pub stop_signal: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Process {
    /// The whole command.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }
}

impl Image {
    /// Puts manifest and configuration, both already verified, together.
    ///
    /// # Errors
    /// A [`ManifestError`] when they do not make an image for `platform`.
    pub fn assemble(
        digest: Digest,
        manifest: &ImageManifest,
        config: &[u8],
        platform: &Platform,
    ) -> Result<Self, ManifestError> {
        let fail = |why: String| ManifestError::NotRunnable { image: digest, why };
        let config_media = manifest.config().media_type().to_string();
        if !media::is_config(&config_media) {
            return Err(fail(format!("it is an artifact of type {config_media:?}, no image")));
        }
        let parsed = parse_config(config)?;
        if !platform.runs(parsed.os(), parsed.architecture()) {
            let made_for = format!("{}/{}", parsed.os(), parsed.architecture());
            return Err(fail(format!("it is made for {made_for}, not for {platform}")));
        }
        let diff_ids = parsed.rootfs().diff_ids();
        if diff_ids.len() != manifest.layers().len() {
            return Err(fail(format!(
                "its manifest has {} layers, its configuration {}",
                manifest.layers().len(),
                diff_ids.len()
            )));
        }
        let mut layers = Vec::with_capacity(diff_ids.len());
        for (descriptor, diff_id) in manifest.layers().iter().zip(diff_ids) {
            let media_type = descriptor.media_type().to_string();
            let media = LayerMedia::parse(&media_type)
                .ok_or_else(|| fail(format!("layers of type {media_type:?} are not supported")))?;
            let diff_id = diff_id.parse().map_err(|source| ManifestError::Digest {
                what: format!("configuration of image {digest}"),
                source,
            })?;
            let blob = digest_of("manifest", descriptor)?;
            layers.push(Layer { blob, size: descriptor.size(), diff_id, media });
        }
        Ok(Self {
            digest,
            config: digest_of("manifest", manifest.config())?,
            layers,
            process: process(&parsed),
            platform: platform.clone(),
        })
    }

    /// Reads the image `digest` from `store`, choosing from an index what fits `platform`.
    ///
    /// # Errors
    /// A [`ManifestError`]: parts missing or corrupt, nothing for the platform, no image.
    pub fn load(
        store: &ContentStore,
        digest: &Digest,
        platform: &Platform,
    ) -> Result<Self, ManifestError> {
        let mut digest = *digest;
        let mut declared: Option<String> = None;
        for _ in 0..MAX_INDEX_DEPTH {
            let bytes = read(store, "manifest", &digest)?;
            match Document::parse(&bytes, declared.as_deref())? {
                Document::Image(manifest) => {
                    let config = digest_of("manifest", manifest.config())?;
                    let config = read(store, "configuration", &config)?;
                    return Self::assemble(digest, &manifest, &config, platform);
                }
                Document::Index(index) => {
                    let chosen =
                        platform.choose(&index).ok_or_else(|| ManifestError::Platform {
                            index: digest,
                            wanted: platform.clone(),
                            offered: Platform::offered(&index),
                        })?;
                    digest = digest_of("index", chosen)?;
                    declared = Some(chosen.media_type().to_string());
                }
            }
        }
        Err(ManifestError::NotRunnable {
            image: digest,
            why: format!("indexes refer to indexes more than {MAX_INDEX_DEPTH} deep"),
        })
    }
}

/// Reads and verifies a document.
pub(crate) fn read(
    store: &ContentStore,
    what: &str,
    digest: &Digest,
) -> Result<Vec<u8>, ManifestError> {
    store
        .read(digest, MAX_DOCUMENT_BYTES as u64)
        .map_err(|source| ManifestError::Content { what: format!("{what} {digest}"), source })
}

/// Parses an image configuration. Docker leaves lists out that are empty; that is made good here.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration, ManifestError> {
    const WHAT: &str = "image configuration";
    check_size(WHAT, bytes)?;
    let mut value: serde_json::Value = from_json(WHAT, bytes)?;
    if let Some(root) = value.get_mut("rootfs").and_then(|rootfs| rootfs.as_object_mut()) {
        let diff_ids = root.entry("diff_ids").or_insert_with(|| serde_json::json!([]));
        if diff_ids.is_null() {
            *diff_ids = serde_json::json!([]);
        }
    }
    serde_json::from_value(value)
        .map_err(|source| ManifestError::Malformed { what: WHAT.to_owned(), source })
}

fn process(config: &ImageConfiguration) -> Process {
    let Some(config) = config.config() else { return Process::default() };
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut exposed_ports = list(config.exposed_ports());
    exposed_ports.sort();
    Process {
        entrypoint: list(config.entrypoint()),
        cmd: list(config.cmd()),
        env: list(config.env()),
        user: text(config.user()),
        working_dir: text(config.working_dir()),
        exposed_ports,
        stop_signal: text(config.stop_signal()),
        labels: config.labels().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}
