//! Blobs kept by their content, in a directory.
//!
//! ```text
//! blobs/sha256/ab/<hex>   a blob; it appears whole, verified and on disk, or not at all
//! uploads/<id>            an unfinished upload: its bytes so far, so its length is its offset
//! scratch/                what one-shot writers have not finished
//! ```
//!
//! The store does not know what blobs mean, who may see them or when they may go: the registry
//! decides that. Any number of threads and processes may use one directory at the same time.

mod error;
mod store;
mod upload;

pub use error::ContentError;
pub use store::{BlobInfo, BlobReader, ContentStore, Writer};
pub use upload::{NotAnUploadId, Upload, UploadId, UploadInfo};
