//! OCI images: what the servers' registry, the agents and the command line share.
//!
//! The crate knows references, digests and manifests, keeps blobs by their content, unpacks layers
//! so that nothing an archive says can touch anything outside the layer, and packs directories
//! into images that come out byte for byte the same everywhere.
//!
//! It speaks no network protocol and mounts nothing. Everything blocks; callers on an async
//! runtime move it to a blocking thread, or feed an [`content::Upload`] piece by piece.

mod archive;
pub mod content;
pub mod digest;
pub mod layout;
pub mod manifest;
pub mod overlay;
pub mod pack;
pub mod reference;
mod scratch;
pub mod unpack;

pub use content::{BlobInfo, ContentError, ContentStore, Upload, UploadId};
pub use digest::{Digest, DigestError, Hasher};
pub use manifest::Layer;
pub use manifest::{Document, Image, ManifestError};
pub use reference::{Reference, ReferenceError};
pub use unpack::{LayerStore, UnpackError};
