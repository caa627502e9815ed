//! Why an image could not be built.

use std::io;
use std::path::PathBuf;

use crate::content::ContentError;
use crate::manifest::ManifestError;
use crate::unpack::UnpackError;

/// Why an image could not be built. Nothing but unreferenced blobs is left.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// What to add was not written as `SRC:DEST`.
    #[error("reading {0:?}: what to add is written SRC:DEST, DEST starting with `/`")]
    Source(String),
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    #[error("reading SOURCE_DATE_EPOCH {0:?}: it must be seconds since 1970")]
    Epoch(String),
    /// A file could not be read.
    #[error("adding {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Something that is no file, directory or symbolic link.
    #[error("adding {}: it is a socket, fifo or device, which layers do not carry", .0.display())]
    Special(PathBuf),
    /// A file changed while it was read.
    #[error("adding {}: it changed while it was read; hint: build again", .0.display())]
    Changed(PathBuf),
    /// Two sources put different things in one place.
    #[error("adding {}: {dest:?} is already there and cannot be both", path.display())]
    Conflict {
        /// The second source.
        path: PathBuf,
        /// Where it goes.
        dest: String,
    },
    /// A destination that leads nowhere.
    #[error("adding to {dest:?}: {why}")]
    Destination {
        /// Where it goes.
        dest: String,
        /// Why it cannot.
        why: &'static str,
    },
    /// The base image is not one to build on.
    #[error("reading the base image")]
    Base(#[from] ManifestError),
    /// A layer of the base image is damaged.
    #[error("reading the base image's layers")]
    BaseLayer(#[source] UnpackError),
    /// The content store failed.
    #[error("storing the image")]
    Content(#[from] ContentError),
    /// Writing a layer failed.
    #[error("writing a layer")]
    Write(#[source] io::Error),
    /// Too many layers.
    #[error("building the image: its {0} layers are over the limit of 128")]
    Layers(usize),
    /// A time that no calendar has.
    #[error("building the image: second {0} is outside the calendar")]
    Time(u64),
}
