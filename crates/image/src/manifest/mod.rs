//! Manifests, indexes and configurations: parsing with limits, choosing a platform, and what of
//! an image matters to who runs it.
//!
//! The types are those of `oci-spec`; documents are parsed and never written back, since a digest
//! names bytes, not meaning.

mod document;
mod media;
mod platform;
mod run;

pub use document::{Document, MAX_DOCUMENT_BYTES, MAX_LAYERS, MAX_MANIFESTS, ManifestError};
pub use media::{Compression, LayerMedia, known_document};
pub use platform::Platform;
pub use run::{Image, Layer, Process};

pub(crate) use document::digest_of;
pub(crate) use media::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
pub(crate) use run::{parse_config, read as read_document};
