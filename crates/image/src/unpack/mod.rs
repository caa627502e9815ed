//! Unpacking layers, each once, into directories that overlayfs can stack.
//!
//! An archive comes from strangers and is unpacked by root. Three things keep it inside: every
//! name is walked one component at a time through directory descriptors that never follow a link
//! by themselves (`tree`); everything that can grow has a limit (`Limits`); and the layer gets
//! its place only when the blob's digest and the archive's digest are both right (`store`).
//! Nothing here mounts or knows images.

mod apply;
mod error;
mod limits;
mod store;
mod stream;
mod tree;

pub use apply::Unpacked;
pub use error::{EntryError, UnpackError};
pub use limits::Limits;
pub use store::{LayerInfo, LayerStore};
pub use tree::Whiteouts;

pub(crate) use store::read_layer;
pub(crate) use stream::Unzip;
pub(crate) use tree::LayerPath;
