//! Why a layout could not be read or written.

use std::io;
use std::path::PathBuf;

use crate::archive::ArchiveError;
use crate::content::ContentError;
use crate::digest::{Digest, DigestError};
use crate::manifest::ManifestError;

/// Why a layout could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It is neither of the two known forms.
    #[error(
        "reading {}: it has neither index.json nor manifest.json; \
         hint: write it with `docker save` or `skopeo copy … oci-archive:FILE`", .0.display()
    )]
    Unknown(PathBuf),
    /// A file of the layout is missing.
    #[error("reading the layout: {0:?} is missing")]
    Missing(String),
    /// A file of the layout is larger than documents may be.
    #[error("reading the layout: {0:?} is larger than 4 MiB")]
    TooLarge(String),
    /// A document is malformed.
    #[error("reading the layout: {file:?}")]
    Malformed {
        /// The file.
        file: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A layout of a later version.
    #[error("reading the layout: version {0:?} is not supported, only 1 is")]
    Version(String),
    /// A manifest or configuration is not fit for use.
    #[error("reading the layout")]
    Manifest(#[from] ManifestError),
    /// The configuration names a layer by no valid digest.
    #[error("reading the layout: {file:?}")]
    Digest {
        /// The file.
        file: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
    /// A layer of a docker-archive is not the one the configuration names.
    #[error("reading the layout: layer {file:?} has digest {found}, its image says {expected}")]
    Layer {
        /// The layer's file.
        file: String,
        /// What the configuration says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Numbers of layers differ.
    #[error("reading the layout: {config:?} names {named} layers, the archive has {listed}")]
    LayerCount {
        /// The configuration's file.
        config: String,
        /// Layers in the configuration.
        named: usize,
        /// Layers in the list.
        listed: usize,
    },
    /// A blob has another size than its descriptor says.
    #[error("reading the layout: blob {blob} has {found} bytes, its descriptor says {expected}")]
    Size {
        /// The blob.
        blob: Digest,
        /// The descriptor's size.
        expected: u64,
        /// The blob's size.
        found: u64,
    },
    /// An index without one manifest that is there.
    #[error("reading the layout: index {0} has none of the manifests it lists")]
    Empty(Digest),
    /// Indexes in indexes without end, or too many.
    #[error("reading the layout: {0}")]
    Limit(&'static str),
    /// The tar file is broken.
    #[error("reading {}", path.display())]
    Archive {
        /// The tar file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: ArchiveError,
    },
    /// The content store failed.
    #[error("moving image content")]
    Content(#[from] ContentError),
    /// The directory to write to has something in it.
    #[error("writing layout to {}: the directory is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The system refused something.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl LayoutError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
