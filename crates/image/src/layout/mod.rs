//! Images in files: what `docker save`, podman and skopeo write, in and out of a content store.
//!
//! Read are OCI layouts and docker-archives, each as a directory or a tar file, the file
//! compressed or not. Written are OCI layouts. An OCI image keeps its digest both ways; a
//! docker-archive has none, so it gets the one that packing its layers with our gzip gives.

mod bundle;
mod docker;
mod error;
mod export;
mod import;

pub use error::LayoutError;
pub use export::{export_directory, export_tar};
pub use import::{Imported, import};
