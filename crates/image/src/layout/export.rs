//! From a content store into an OCI layout, the same bytes for the same images.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::content::{ContentError, ContentStore};
use crate::digest::{Digest, HashReader};
use crate::layout::LayoutError;
use crate::layout::bundle::occupied;
use crate::layout::import::REF_NAME;
use crate::manifest::{Document, OCI_INDEX, digest_of, known_document, read_document};
use crate::pack::{TarEntry, TarKind, TarWriter, sorted_json};

/// How deep indexes may refer to indexes.
const MAX_DEPTH: usize = 4;

/// Writes images, each with the name to give it, as an OCI layout into the directory `dir`, which
/// is made or must be empty.
///
/// # Errors
/// A [`LayoutError`]; what was written stays.
pub fn export_directory(
    store: &ContentStore,
    images: &[(Option<String>, Digest)],
    dir: &Path,
) -> Result<(), LayoutError> {
    let doing = || format!("writing layout to {}", dir.display());
    if occupied(dir).map_err(LayoutError::io(doing()))? {
        return Err(LayoutError::NotEmpty(dir.to_owned()));
    }
    fs::create_dir_all(dir.join("blobs/sha256")).map_err(LayoutError::io(doing()))?;
    export(store, images, &mut Directory(dir.to_owned()))
}

/// The same as a tar file, written to `out`.
///
/// # Errors
/// A [`LayoutError`].
pub fn export_tar(
    store: &ContentStore,
    images: &[(Option<String>, Digest)],
    out: impl Write,
) -> Result<(), LayoutError> {
    let failed = || LayoutError::io("writing the layout");
    let mut tar = Tar(TarWriter::new(BufWriter::new(out)));
    for dir in ["blobs", "blobs/sha256"] {
        tar.entry(dir, TarKind::Directory, 0o755, io::empty()).map_err(failed())?;
    }
    export(store, images, &mut tar)?;
    let mut out = tar.0.finish().map_err(failed())?;
    out.flush().map_err(failed())
}

fn export(
    store: &ContentStore,
    images: &[(Option<String>, Digest)],
    sink: &mut impl Sink,
) -> Result<(), LayoutError> {
    let mut blobs = BTreeSet::new();
    let mut manifests = Vec::with_capacity(images.len());
    for (name, digest) in images {
        let (media_type, size) = reach(store, digest, &mut blobs, MAX_DEPTH)?;
        let mut entry = json!({ "mediaType": media_type, "digest": digest, "size": size });
        if let Some(name) = name {
            entry["annotations"] = json!({ REF_NAME: name });
        }
        manifests.push(entry);
    }
    let failed = |name: &str| LayoutError::io(format!("writing {name:?}"));
    for digest in &blobs {
        let name = format!("blobs/sha256/{}", digest.hex());
        let blob = store.reader(digest)?;
        let size = blob.size();
        let mut blob = HashReader::new(blob);
        sink.file(&name, size, &mut blob).map_err(failed(&name))?;
        let (found, _) = blob.finish();
        if found != *digest {
            return Err(ContentError::Corrupt { digest: *digest, found }.into());
        }
    }
    let index =
        sorted_json(json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }));
    let header = sorted_json(json!({ "imageLayoutVersion": "1.0.0" }));
    for (name, content) in [("index.json", index), ("oci-layout", header)] {
        let size = content.len() as u64;
        sink.file(name, size, &mut content.as_slice()).map_err(failed(name))?;
    }
    Ok(())
}

/// Finds everything a document refers to; gives the document's media type and size. Entries of an
/// index that the store does not have are left out, if it has any.
fn reach(
    store: &ContentStore,
    digest: &Digest,
    blobs: &mut BTreeSet<Digest>,
    depth: usize,
) -> Result<(String, u64), LayoutError> {
    let depth =
        depth.checked_sub(1).ok_or(LayoutError::Limit("its indexes are more than 4 deep"))?;
    let bytes = read_document(store, "manifest", digest)?;
    let document = Document::parse(&bytes, None)?;
    blobs.insert(*digest);
    let mut there = 0;
    for part in document.references() {
        let part_digest = digest_of("manifest", part)?;
        if matches!(document, Document::Index(_)) && !store.has(&part_digest)? {
            continue;
        }
        there += 1;
        if known_document(part.media_type().as_ref()) {
            reach(store, &part_digest, blobs, depth)?;
        } else {
            blobs.insert(part_digest);
        }
    }
    if there == 0 && !document.references().is_empty() {
        return Err(LayoutError::Empty(*digest));
    }
    Ok((document.media_type(), bytes.len() as u64))
}

/// Where a layout's files go.
trait Sink {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()>;
}

struct Directory(PathBuf);

impl Sink for Directory {
    fn file(&mut self, name: &str, _size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut file = File::create_new(self.0.join(name))?;
        io::copy(content, &mut file)?;
        file.sync_all()
    }
}

struct Tar<W>(TarWriter<W>);

impl<W: Write> Tar<W> {
    fn entry(
        &mut self,
        name: &str,
        kind: TarKind<'_>,
        mode: u32,
        content: impl Read,
    ) -> io::Result<()> {
        let entry = TarEntry { path: name.as_bytes(), kind, mode, owner: (0, 0), mtime: 0 };
        self.0.entry(&entry, content)
    }
}

impl<W: Write> Sink for Tar<W> {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.entry(name, TarKind::File(size), 0o644, content)
    }
}
