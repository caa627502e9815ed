//! Parsing what a registry stores under a tag: an image manifest or an index.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::content::ContentError;
use crate::digest::{Digest, DigestError};
use crate::manifest::{Platform, media};

/// Largest manifest, index or configuration (the limit that the OCI distribution specification
/// names as one every registry should accept, and no more).
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

/// Most layers of an image: what Docker's own storage allows, and a fourth of the 500 directories
/// that overlayfs stacks (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 128;

/// Most entries of an index; the largest published ones have some fifty.
pub const MAX_MANIFESTS: usize = 1024;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is larger than [`MAX_DOCUMENT_BYTES`].
    #[error("reading {what}: its {size} bytes are over the limit of 4 MiB")]
    TooLarge {
        /// The document.
        what: String,
        /// Its size in bytes.
        size: usize,
    },
    /// It is no JSON, or not of the form its media type promises.
    #[error("reading {what}")]
    Malformed {
        /// The document.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Docker's schema 1, obsolete since 2017.
    #[error(
        "reading manifest: it is of Docker's schema 1, which is not supported; \
         hint: push the image again with a current tool"
    )]
    Schema1,
    /// A media type that is neither an image manifest nor an index.
    #[error("reading manifest: media type {0:?} is neither an image manifest nor an index")]
    Media(String),
    /// The document contradicts itself or its media type.
    #[error("reading manifest: {0}")]
    Ambiguous(&'static str),
    /// Too many layers.
    #[error("reading manifest: its {0} layers are over the limit of 128; hint: squash the image")]
    Layers(usize),
    /// Too many entries in an index.
    #[error("reading index: its {0} entries are over the limit of 1024")]
    Entries(usize),
    /// A digest that is not sha256.
    #[error("reading {what}")]
    Digest {
        /// The document.
        what: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
    /// The document is fine, but no image one could run.
    #[error("reading image {image}: {why}")]
    NotRunnable {
        /// The manifest's digest.
        image: Digest,
        /// What is missing.
        why: String,
    },
    /// No entry of the index fits.
    #[error("reading index {index}: it has nothing for {wanted}, only for: {offered}")]
    Platform {
        /// The index' digest.
        index: Digest,
        /// What was looked for.
        wanted: Platform,
        /// What there is.
        offered: String,
    },
    /// A part could not be read from the store.
    #[error("reading {what}")]
    Content {
        /// The document.
        what: String,
        /// Why.
        #[source]
        source: ContentError,
    },
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image, or one artifact in the form of an image.
    Image(Box<ImageManifest>),
    /// A choice of manifests.
    Index(Box<ImageIndex>),
}

/// The fields that tell documents apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Parses `bytes`, whose media type was given as `declared` (by a `Content-Type` or a
    /// descriptor) or is to be found out.
    ///
    /// A document that could be read both as manifest and as index, or whose own media type differs
    /// from the declared one, is refused (the confusion of CVE-2021-41190).
    ///
    /// # Errors
    /// A [`ManifestError`] saying what is wrong.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, ManifestError> {
        check_size("manifest", bytes)?;
        if declared.is_some_and(media::is_schema1) {
            return Err(ManifestError::Schema1);
        }
        let probe: Probe = from_json("manifest", bytes)?;
        let own = probe.media_type.as_deref();
        if own.is_some_and(media::is_schema1)
            || probe.schema_version == Some(1)
            || probe.fs_layers.is_some()
        {
            return Err(ManifestError::Schema1);
        }
        if let (Some(declared), Some(own)) = (declared, own)
            && declared != own
        {
            return Err(ManifestError::Ambiguous("its own media type is not the declared one"));
        }
        let (lists, has_image) =
            (probe.manifests.is_some(), probe.layers.is_some() || probe.config.is_some());
        if lists && has_image {
            return Err(ManifestError::Ambiguous("it has both manifests and layers"));
        }
        let index = match own.or(declared) {
            Some(media) if media::known_document(media) => media::is_index(media),
            Some(media) => return Err(ManifestError::Media(media.chars().take(200).collect())),
            None => lists,
        };
        if index != lists {
            return Err(ManifestError::Ambiguous("its media type does not fit its content"));
        }
        if index { Self::index(bytes) } else { Self::image(bytes) }
    }

    fn index(bytes: &[u8]) -> Result<Self, ManifestError> {
        let index: ImageIndex = from_json("index", bytes)?;
        if index.schema_version() != 2 {
            return Err(ManifestError::Ambiguous("its schema version is not 2"));
        }
        if index.manifests().len() > MAX_MANIFESTS {
            return Err(ManifestError::Entries(index.manifests().len()));
        }
        let document = Self::Index(Box::new(index));
        document.check_digests()?;
        Ok(document)
    }

    fn image(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: ImageManifest = from_json("manifest", bytes)?;
        if manifest.schema_version() != 2 {
            return Err(ManifestError::Ambiguous("its schema version is not 2"));
        }
        if manifest.layers().len() > MAX_LAYERS {
            return Err(ManifestError::Layers(manifest.layers().len()));
        }
        let document = Self::Image(Box::new(manifest));
        document.check_digests()?;
        Ok(document)
    }

    fn check_digests(&self) -> Result<(), ManifestError> {
        let subject = self.subject();
        for descriptor in self.references().into_iter().chain(subject) {
            digest_of("manifest", descriptor)?;
        }
        Ok(())
    }

    /// What the document is made of and needs: configuration and layers, or an index' entries.
    /// All their digests are known to be sha256.
    #[must_use]
    pub fn references(&self) -> Vec<&Descriptor> {
        match self {
            Self::Image(manifest) => {
                std::iter::once(manifest.config()).chain(manifest.layers()).collect()
            }
            Self::Index(index) => index.manifests().iter().collect(),
        }
    }

    /// What the document is a remark on, such as the image that a signature signs.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject().as_ref(),
            Self::Index(index) => index.subject().as_ref(),
        }
    }

    /// The kind of artifact for the referrers list: the artifact type, else, for a manifest, the
    /// configuration's media type (OCI distribution specification, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<String> {
        match self {
            Self::Image(manifest) => {
                let artifact = manifest.artifact_type().as_ref();
                Some(artifact.unwrap_or(manifest.config().media_type()).to_string())
            }
            Self::Index(index) => index.artifact_type().as_ref().map(ToString::to_string),
        }
    }

    /// The document's media type, for a document that does not say it the OCI one of its kind.
    #[must_use]
    pub fn media_type(&self) -> String {
        let (own, default) = match self {
            Self::Image(manifest) => (manifest.media_type(), media::OCI_MANIFEST),
            Self::Index(index) => (index.media_type(), media::OCI_INDEX),
        };
        own.as_ref().map_or_else(|| default.to_owned(), ToString::to_string)
    }
}

pub(crate) fn check_size(what: &str, bytes: &[u8]) -> Result<(), ManifestError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(ManifestError::TooLarge { what: what.to_owned(), size: bytes.len() });
    }
    Ok(())
}

pub(crate) fn from_json<'a, T: Deserialize<'a>>(
    what: &str,
    bytes: &'a [u8],
) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ManifestError::Malformed { what: what.to_owned(), source })
}

pub(crate) fn digest_of(what: &str, descriptor: &Descriptor) -> Result<Digest, ManifestError> {
    Digest::try_from(descriptor.digest())
        .map_err(|source| ManifestError::Digest { what: what.to_owned(), source })
}
