//! The directory of unpacked layers.
//!
//! ```text
//! layers/<hex of diff_id>/fs           the layer's files, for overlayfs to stack
//! layers/<hex of diff_id>/layer.json   what is known of it
//! scratch/                             what is being unpacked or removed
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use rustix::fs::RenameFlags;
use serde::{Deserialize, Serialize};

use crate::archive::{Archive, ArchiveError};
use crate::digest::Digest;
use crate::manifest::Layer;
use crate::scratch::{self, Leftover, Scratch};
use crate::unpack::apply::{Fault, apply};
use crate::unpack::stream::{LayerStream, SourceFailed, StreamLimit, Sums};
use crate::unpack::tree::lossy;
use crate::unpack::{EntryError, Limits, UnpackError, Unpacked, Whiteouts};

/// Unpacked layers by diff_id. Cloning is cheap and gives the same store.
#[derive(Debug, Clone)]
pub struct LayerStore {
    layers: PathBuf,
    scratch: Scratch,
    whiteouts: Whiteouts,
    limits: Limits,
}

/// What is known of an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// The layer's name.
    pub diff_id: Digest,
    /// The blob it was unpacked from.
    pub blob: Digest,
    /// The blob's size in bytes.
    pub blob_bytes: u64,
    /// The archive's size in bytes.
    pub archive_bytes: u64,
    /// What was in it.
    pub content: Unpacked,
}

impl LayerStore {
    /// Opens the store at `root`, making it if need be, with the default limits and device
    /// whiteouts. What killed processes left unfinished is removed; what others are unpacking is
    /// left alone.
    ///
    /// # Errors
    /// [`UnpackError::Store`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, UnpackError> {
        Self::open_with(root, Whiteouts::default(), Limits::default())
    }

    /// The same with other whiteouts and limits. All openers of one directory must agree on the
    /// whiteouts.
    ///
    /// # Errors
    /// [`UnpackError::Store`].
    pub fn open_with(
        root: impl Into<PathBuf>,
        whiteouts: Whiteouts,
        limits: Limits,
    ) -> Result<Self, UnpackError> {
        let root = root.into();
        let doing = || format!("opening layer store at {}", root.display());
        let layers = root.join("layers");
        fs::create_dir_all(&layers).map_err(UnpackError::store(doing()))?;
        let scratch = Scratch::open(root.join("scratch")).map_err(UnpackError::store(doing()))?;
        Ok(Self { layers, scratch, whiteouts, limits })
    }

    fn home(&self, diff_id: &Digest) -> PathBuf {
        self.layers.join(diff_id.hex())
    }

    /// Where the layer's files are, or would be: a lower directory for overlayfs.
    #[must_use]
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.home(diff_id).join("fs")
    }

    /// Whether the layer is here, whole.
    #[must_use]
    pub fn has(&self, diff_id: &Digest) -> bool {
        self.path(diff_id).is_dir()
    }

    /// What is known of a layer; `None` if it is not here.
    ///
    /// # Errors
    /// [`UnpackError::Store`].
    pub fn info(&self, diff_id: &Digest) -> Result<Option<LayerInfo>, UnpackError> {
        let doing = || format!("reading what is known of layer {diff_id}");
        match fs::read(self.home(diff_id).join("layer.json")) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|e| UnpackError::store(doing())(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(UnpackError::store(doing())(e)),
        }
    }

    /// Every layer here, in order of their names.
    ///
    /// # Errors
    /// [`UnpackError::Store`].
    pub fn list(&self) -> Result<Vec<LayerInfo>, UnpackError> {
        let work = || -> io::Result<Vec<Digest>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.layers)? {
                let name = entry?.file_name();
                found.extend(name.to_str().and_then(|hex| Digest::from_hex(hex).ok()));
            }
            found.sort();
            Ok(found)
        };
        let found = work().map_err(UnpackError::store("listing layers"))?;
        let mut infos = Vec::with_capacity(found.len());
        for diff_id in found {
            infos.extend(self.info(&diff_id)?);
        }
        Ok(infos)
    }

    /// Bytes of all files of all layers, holes included.
    ///
    /// # Errors
    /// [`UnpackError::Store`].
    pub fn size(&self) -> Result<u64, UnpackError> {
        Ok(self.list()?.iter().map(|layer| layer.content.file_bytes).sum())
    }

    /// Removes a layer; `false` if it is not here. The caller knows that nothing has it mounted.
    ///
    /// # Errors
    /// [`UnpackError::Store`]. The layer is gone from the list even if removing its files failed.
    pub fn remove(&self, diff_id: &Digest) -> Result<bool, UnpackError> {
        self.scratch
            .discard(&self.home(diff_id))
            .map_err(UnpackError::store(format!("removing layer {diff_id}")))
    }

    /// Unpacks `layer` from `blob`, its compressed bytes, unless it is here already; then nothing
    /// is read. Several may unpack the same layer at the same time: all succeed, one result stays.
    /// Needs root, for the owners of files.
    ///
    /// # Errors
    /// An [`UnpackError`]; nothing is left behind.
    pub fn unpack(&self, layer: &Layer, blob: impl Read) -> Result<LayerInfo, UnpackError> {
        if let Some(info) = self.info(&layer.diff_id)? {
            return Ok(info);
        }
        let id = layer.diff_id;
        let store = |what: &str| UnpackError::store(format!("{what} layer {id}"));
        let place = self.scratch.directory().map_err(|e| self.full_or(id, e))?;
        let root = place.path().join("fs");
        fs::create_dir(&root).map_err(|e| self.full_or(id, e))?;
        let mut content = Unpacked::default();
        let (whiteouts, limits) = (self.whiteouts, &self.limits);
        let sums = read_layer(layer, blob, limits, |archive| {
            content = apply(archive, &root, whiteouts, limits)?;
            Ok(())
        })?;
        let info = LayerInfo {
            diff_id: id,
            blob: sums.blob,
            blob_bytes: sums.blob_bytes,
            archive_bytes: sums.archive_bytes,
            content,
        };
        let json = serde_json::to_vec(&info).map_err(|e| store("describing")(e.into()))?;
        fs::write(place.path().join("layer.json"), json).map_err(|e| self.full_or(id, e))?;
        self.settle(id, place).map_err(|e| self.full_or(id, e))?;
        Ok(info)
    }

    /// Puts a finished layer in its place, durably.
    fn settle(&self, id: Digest, place: Leftover) -> io::Result<()> {
        // One call instead of one per file: a layer that is in place is trusted ever after.
        rustix::fs::syncfs(fs::File::open(place.path())?)?;
        let home = self.home(&id);
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, place.path(), cwd, &home, RenameFlags::NOREPLACE) {
            Ok(()) => place.keep(),
            // Somebody else was faster; ours goes when `place` is dropped.
            Err(rustix::io::Errno::EXIST) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        scratch::sync_dir(&self.layers)
    }

    fn full_or(&self, layer: Digest, source: io::Error) -> UnpackError {
        if scratch::is_full(&source) {
            return UnpackError::DiskFull { layer, source };
        }
        let doing = format!("unpacking layer {layer} below {}", self.layers.display());
        UnpackError::Store { doing, source }
    }
}

/// Lets `each` read a layer's archive, then compares blob and archive with what they should be.
pub(crate) fn read_layer<'l, R: Read>(
    layer: &Layer,
    blob: R,
    limits: &'l Limits,
    each: impl FnOnce(&mut Archive<LayerStream<'l, R>>) -> Result<(), Fault>,
) -> Result<Sums, UnpackError> {
    let stream = LayerStream::new(blob, layer.size, limits)
        .map_err(|e| explain(layer, Fault::Archive(e.into())))?;
    let mut archive = Archive::new(stream);
    let read = each(&mut archive);
    let mut stream = archive.into_inner();
    let read = read.and_then(|()| stream.drain().map_err(|e| Fault::Archive(e.into())));
    if let Err(fault) = read {
        let error = explain(layer, fault);
        // Damage on the way is the likelier cause of nonsense than a nonsensical image.
        if matches!(error, UnpackError::Archive { .. } | UnpackError::Entry { .. })
            && let Ok(sums) = stream.finish()
        {
            compare_blob(layer, sums.blob, sums.blob_bytes)?;
        }
        return Err(error);
    }
    let sums = stream.finish().map_err(|e| explain(layer, Fault::Archive(e.into())))?;
    compare_blob(layer, sums.blob, sums.blob_bytes)?;
    if sums.archive != layer.diff_id {
        let (layer, blob) = (layer.diff_id, layer.blob);
        return Err(UnpackError::DiffId { layer, blob, found: sums.archive });
    }
    Ok(sums)
}

fn explain(layer: &Layer, fault: Fault) -> UnpackError {
    let id = layer.diff_id;
    match fault {
        Fault::Limit { limit, what } => UnpackError::Limit { layer: id, limit, what },
        Fault::Archive(ArchiveError::Read(e)) => explain_read(layer, e)
            .unwrap_or_else(|e| UnpackError::Archive { layer: id, source: e.into() }),
        Fault::Archive(source) => UnpackError::Archive { layer: id, source },
        Fault::Entry { error, .. } if error.is_full() => {
            let (EntryError::Io(source) | EntryError::Xattr { source, .. }) = error else {
                unreachable!("only these two say that the disk is full")
            };
            UnpackError::DiskFull { layer: id, source }
        }
        Fault::Entry { entry, error } => {
            let entry = lossy(&entry);
            match error {
                EntryError::Io(e) => explain_read(layer, e).unwrap_or_else(|e| {
                    UnpackError::Entry { layer: id, entry, source: EntryError::Io(e) }
                }),
                source => UnpackError::Entry { layer: id, entry, source },
            }
        }
    }
}

/// Errors that the stream carries in disguise.
fn explain_read(layer: &Layer, error: io::Error) -> Result<UnpackError, io::Error> {
    if let Some(StreamLimit { limit, what }) = StreamLimit::of(&error) {
        return Ok(UnpackError::Limit { layer: layer.diff_id, limit: *limit, what });
    }
    if error.get_ref().is_some_and(|inner| inner.is::<SourceFailed>()) {
        let (layer, blob) = (layer.diff_id, layer.blob);
        return Ok(UnpackError::Read { layer, blob, source: error });
    }
    Err(error)
}

fn compare_blob(layer: &Layer, found: Digest, bytes: u64) -> Result<(), UnpackError> {
    let (id, blob) = (layer.diff_id, layer.blob);
    if bytes != layer.size {
        let more = if bytes > layer.size { " or more" } else { "" };
        let expected = layer.size;
        return Err(UnpackError::Size { layer: id, blob, expected, found: bytes, more });
    }
    if found != blob {
        return Err(UnpackError::Blob { layer: id, blob, found });
    }
    Ok(())
}
