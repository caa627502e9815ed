//! Building images without a daemon, the same bytes from the same input on every machine.
//!
//! A layer holds files and directories in sorted order, owned by root, at one time, with modes
//! reduced to "executable or not"; it is compressed without name and time. Documents have their
//! keys sorted. Names are given to images elsewhere; nothing here is pushed or run.

mod archive;
mod base;
mod build;
mod error;
mod source;

pub use build::{Builder, Built, Settings};
pub use error::PackError;
pub use source::{Source, source_date_epoch};

pub(crate) use archive::{FixedBlocks, TarEntry, TarKind, TarWriter, gzip};
pub(crate) use build::sorted_json;
