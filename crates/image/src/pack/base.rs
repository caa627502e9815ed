//! What of the base image a new layer must respect: its directories and symbolic links.
//!
//! A layer that brings `/bin/tool` names the directory `/bin`. Where the base has a symbolic link
//! there, a directory of that name would hide it and everything behind; where the base has `/tmp`
//! with mode 1777, a plain directory would close it. So the base's layers are read for both.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::archive::{Archive, Kind};
use crate::content::ContentStore;
use crate::manifest::{Image, Layer};
use crate::pack::PackError;
use crate::unpack::{LayerPath, Limits, UnpackError, read_layer};

/// The kernel's own limit on links in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Most bytes of names kept: some million directories and links.
const MAX_KEPT_BYTES: usize = 128 << 20;

/// A path as components.
pub(crate) type Parts = Vec<Vec<u8>>;

/// A directory's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryLook {
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) mtime: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory(DirectoryLook),
    Symlink(Vec<u8>),
}

/// The directories and symbolic links of a stack of layers.
#[derive(Debug, Default)]
pub(crate) struct Skeleton {
    nodes: BTreeMap<Parts, Node>,
}

impl Skeleton {
    /// Reads the layers of `image`, verifying them.
    pub(crate) fn of(store: &ContentStore, image: &Image) -> Result<Self, PackError> {
        let mut skeleton = Self::default();
        for layer in &image.layers {
            skeleton.stack(store, layer)?;
        }
        Ok(skeleton)
    }

    fn stack(&mut self, store: &ContentStore, layer: &Layer) -> Result<(), PackError> {
        let limits = Limits::default();
        let blob = store.reader(&layer.blob)?;
        let mut ours = BTreeMap::new();
        let mut kept_bytes = 0;
        let each = |archive: &mut Archive<_>| {
            while let Some(entry) = archive.next()? {
                let Ok(path) = LayerPath::parse(&entry.path, &limits) else { continue };
                let parts = path.into_parts();
                if parts.is_empty() {
                    continue;
                }
                kept_bytes += parts.iter().map(Vec::len).sum::<usize>();
                if kept_bytes > MAX_KEPT_BYTES {
                    break;
                }
                let name = parts.last().expect("checked to have a component").as_slice();
                if let Some(hidden) = name.strip_prefix(b".wh.") {
                    let mut dir = parts[..parts.len() - 1].to_vec();
                    if hidden == b".wh..opq" {
                        self.forget(&dir, false);
                    } else {
                        dir.push(hidden.to_vec());
                        self.forget(&dir, true);
                    }
                    continue;
                }
                let node = match entry.kind {
                    Kind::Directory => Some(Node::Directory(DirectoryLook {
                        mode: entry.mode,
                        owner: (entry.uid, entry.gid),
                        mtime: u64::try_from(entry.mtime.seconds).unwrap_or(0),
                    })),
                    Kind::Symlink => Some(Node::Symlink(entry.link)),
                    _ => None,
                };
                ours.insert(parts, node);
            }
            Ok(())
        };
        read_layer(layer, blob, &limits, each).map_err(PackError::BaseLayer)?;
        if kept_bytes > MAX_KEPT_BYTES {
            let (layer, limit) = (layer.diff_id, MAX_KEPT_BYTES as u64);
            let error = UnpackError::Limit { layer, limit, what: "bytes of names" };
            return Err(PackError::BaseLayer(error));
        }
        for (parts, node) in ours {
            if !matches!(node, Some(Node::Directory(_))) {
                self.forget(&parts, true);
            }
            if let Some(node) = node {
                self.nodes.insert(parts, node);
            }
        }
        Ok(())
    }

    /// Forgets everything below `parts`, and itself if `too`.
    fn forget(&mut self, parts: &Parts, too: bool) {
        let from = (Bound::Excluded(parts.clone()), Bound::Unbounded);
        let below: Vec<_> = self
            .nodes
            .range(from)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(parts))
            .collect();
        for path in below {
            self.nodes.remove(&path);
        }
        if too {
            self.nodes.remove(parts);
        }
    }

    /// What the base has at a resolved path, if that is a directory.
    pub(crate) fn directory(&self, parts: &Parts) -> Option<DirectoryLook> {
        match self.nodes.get(parts) {
            Some(Node::Directory(look)) => Some(*look),
            _ => None,
        }
    }

    /// Where a directory really is, symbolic links of the base followed; `None` if they go round in
    /// circles.
    pub(crate) fn resolve(&self, parts: &Parts) -> Option<Parts> {
        let mut ahead: VecDeque<Vec<u8>> = parts.iter().cloned().collect();
        let mut resolved: Parts = Vec::new();
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    resolved.pop();
                    continue;
                }
                _ => resolved.push(part),
            }
            if let Some(Node::Symlink(target)) = self.nodes.get(&resolved) {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                resolved.pop();
                if target.starts_with(b"/") {
                    resolved.clear();
                }
                for step in target.split(|b| *b == b'/').rev() {
                    ahead.push_front(step.to_vec());
                }
            }
        }
        Some(resolved)
    }

    /// Adds what a new layer brings.
    pub(crate) fn add_directory(&mut self, parts: Parts, look: DirectoryLook) {
        self.nodes.insert(parts, Node::Directory(look));
    }

    /// Adds what a new layer brings.
    pub(crate) fn add_other(&mut self, parts: &Parts, link: Option<Vec<u8>>) {
        self.forget(parts, true);
        if let Some(link) = link {
            self.nodes.insert(parts.clone(), Node::Symlink(link));
        }
    }
}
