//! From a layout into a content store.

use std::path::Path;

use oci_spec::image::Descriptor;
use serde::Deserialize;

use crate::content::ContentStore;
use crate::digest::Digest;
use crate::layout::bundle::Bundle;
use crate::layout::{LayoutError, docker};
use crate::manifest::{Document, ManifestError, digest_of, known_document};

/// How deep indexes may refer to indexes; `docker save` writes two levels.
const MAX_DEPTH: usize = 4;

/// The full name that containerd (and so Docker) gives.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag or name of the specification (annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The name the layout gives it: a full reference, or a tag alone, as whoever wrote it chose.
    pub name: Option<String>,
    /// The manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Manifests of an index that the layout leaves out, such as other platforms'.
    pub missing: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutHeader {
    image_layout_version: String,
}

/// Reads every image of the layout at `path` into `store`, verifying all content. A manifest is
/// stored after all it refers to.
///
/// # Errors
/// A [`LayoutError`]. Blobs stored before it stay, referred to by nothing.
pub fn import(path: &Path, store: &ContentStore) -> Result<Vec<Imported>, LayoutError> {
    let bundle = Bundle::open(path, store)?;
    // Docker writes both forms into one archive; the OCI one keeps digests.
    if bundle.has("index.json")? {
        return oci(&bundle, store);
    }
    if bundle.has("manifest.json")? {
        return docker::import(&bundle, store);
    }
    Err(LayoutError::Unknown(path.to_owned()))
}

fn oci(bundle: &Bundle, store: &ContentStore) -> Result<Vec<Imported>, LayoutError> {
    if bundle.has("oci-layout")? {
        let header: LayoutHeader = serde_json::from_slice(&bundle.document("oci-layout")?)
            .map_err(|source| LayoutError::Malformed { file: "oci-layout".to_owned(), source })?;
        if !header.image_layout_version.starts_with("1.") {
            return Err(LayoutError::Version(header.image_layout_version));
        }
    }
    let Document::Index(index) = Document::parse(&bundle.document("index.json")?, None)? else {
        return Err(ManifestError::Ambiguous("index.json is no index").into());
    };
    let mut imported = Vec::new();
    for descriptor in index.manifests() {
        let mut missing = 0;
        copy(bundle, store, descriptor, MAX_DEPTH, &mut missing)?;
        let named = |key| descriptor.annotations().as_ref().and_then(|all| all.get(key)).cloned();
        imported.push(Imported {
            name: named(CONTAINERD_NAME).or_else(|| named(REF_NAME)),
            digest: digest_of("index.json", descriptor)?,
            media_type: descriptor.media_type().to_string(),
            size: descriptor.size(),
            missing,
        });
    }
    Ok(imported)
}

/// Copies a document and all it refers to.
fn copy(
    bundle: &Bundle,
    store: &ContentStore,
    descriptor: &Descriptor,
    depth: usize,
    missing: &mut usize,
) -> Result<(), LayoutError> {
    let media_type = descriptor.media_type().to_string();
    if !known_document(&media_type) {
        return blob(bundle, store, descriptor);
    }
    let digest = digest_of("index", descriptor)?;
    let depth =
        depth.checked_sub(1).ok_or(LayoutError::Limit("its indexes are more than 4 deep"))?;
    let bytes = bundle.document(&blob_name(&digest))?;
    let document = Document::parse(&bytes, Some(&media_type))?;
    match &document {
        Document::Image(_) => {
            for part in document.references() {
                blob(bundle, store, part)?;
            }
        }
        Document::Index(index) => {
            let mut there = 0;
            for entry in index.manifests() {
                if bundle.has(&blob_name(&digest_of("index", entry)?))? {
                    copy(bundle, store, entry, depth, missing)?;
                    there += 1;
                } else {
                    *missing += 1;
                }
            }
            if there == 0 && !index.manifests().is_empty() {
                return Err(LayoutError::Empty(digest));
            }
        }
    }
    check_size(digest, descriptor, bytes.len() as u64)?;
    store.ingest(bytes.as_slice(), Some(&digest))?;
    Ok(())
}

fn blob(bundle: &Bundle, store: &ContentStore, descriptor: &Descriptor) -> Result<(), LayoutError> {
    let digest = digest_of("manifest", descriptor)?;
    let size = match store.info(&digest)? {
        Some(info) => info.size,
        None => store.ingest(bundle.need(&blob_name(&digest))?, Some(&digest))?.size,
    };
    check_size(digest, descriptor, size)
}

fn check_size(blob: Digest, descriptor: &Descriptor, found: u64) -> Result<(), LayoutError> {
    let expected = descriptor.size();
    if found == expected { Ok(()) } else { Err(LayoutError::Size { blob, expected, found }) }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
