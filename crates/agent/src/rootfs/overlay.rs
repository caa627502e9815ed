//! Mounting the root.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::skeleton::{self, Kind, Node, SkeletonError, Target};
use super::{idmap, sys};
use crate::runtime::IdRange;

/// Most layers of one root, the skeleton included (OVL_MAX_STACK of the kernel).
const MAX_LOWERS: usize = 500;

/// Why a root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A step failed.
    #[error("{what} {path}")]
    Step {
        /// What we tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel cannot map owners of mounts on the layers' file system.
    #[error(
        "owners of {path} cannot be mapped: its file system or this kernel has no idmapped mounts \
         (ext4, xfs, btrfs have them since Linux 5.12 to 5.15, overlay on top of them since 5.19)"
    )]
    NoIdmap {
        /// The layer.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A mount point cannot exist beside what the image has.
    #[error(transparent)]
    Skeleton(#[from] SkeletonError),
    /// More layers than the kernel stacks.
    #[error("an image of {0} layers (at most {MAX_LOWERS})")]
    TooManyLayers(usize),
}

/// How layers are handed to the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LowersBy {
    /// As descriptors of detached mounts (since Linux 6.13).
    Descriptor,
    /// As paths of mounts attached below the bundle.
    Path,
}

/// A mounted root.
#[derive(Debug)]
pub struct Root {
    /// The directory it is mounted on.
    pub path: PathBuf,
    fd: OwnedFd,
    userns: OwnedFd,
}

impl Root {
    /// Mounts the layers (base first) at `bundle/rootfs`, with every target there to be mounted on.
    ///
    /// Must be called in a private mount namespace of a single-threaded process.
    ///
    /// # Errors
    /// Names the layer or path that something failed with.
    pub fn mount(
        bundle: &Path,
        layers: &[PathBuf],
        range: IdRange,
        targets: &[Target],
    ) -> Result<Self, RootError> {
        if layers.len() > MAX_LOWERS - 2 {
            return Err(RootError::TooManyLayers(layers.len()));
        }
        let userns =
            idmap::user_namespace(range).map_err(step("making a user namespace for", bundle))?;
        let mut lowers = Vec::with_capacity(layers.len() + 2);
        let below = bundle.join("empty");
        make_dir(&below)?;
        // An overlay wants two lower directories at least; the second may be empty.
        lowers.push(clone_plain(&below)?);
        for layer in layers {
            lowers.push(clone_mapped(layer, &userns)?);
        }
        let mut overlay = stack(bundle, &lowers)?;
        let nodes = skeleton::plan(targets, &mut |path| look(overlay.as_fd(), path))
            .map_err(step("looking for mount points in", bundle))??;
        if !nodes.is_empty() {
            let above = bundle.join("skeleton");
            make_skeleton(&above, &nodes, range)?;
            lowers.push(clone_plain(&above)?);
            overlay = stack(bundle, &lowers)?;
        }
        let path = bundle.join("rootfs");
        make_dir(&path)?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&overlay, "", rustix::fs::CWD, &path, empty)
            .map_err(|e| step("attaching the root at", &path)(e.into()))?;
        let fd = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| step("opening", &path)(e.into()))?;
        Ok(Self { path, fd, userns })
    }

    /// The root as a descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The user namespace its owners are mapped through.
    pub(super) fn userns(&self) -> &OwnedFd {
        &self.userns
    }

    /// Opens something inside; no link leads out.
    ///
    /// # Errors
    /// It is not there, or may not be opened so.
    pub fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        open_in(self.fd.as_fd(), path, flags)
    }

    /// Reads a text file of the image; none when it is missing, no plain file, too long or no text.
    ///
    /// # Errors
    /// Reading failed.
    pub fn read_text(&self, path: &Path, limit: u64) -> io::Result<Option<String>> {
        let Ok(fd) = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK) else { return Ok(None) };
        let stat = rustix::fs::fstat(&fd)?;
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !plain || u64::try_from(stat.st_size).unwrap_or(u64::MAX) > limit {
            return Ok(None);
        }
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(fs::File::from(fd), limit), &mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Opens a path below a root, as the kernel would after chroot(2); magic links are refused.
pub(super) fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

fn step<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RootError + 'a {
    move |source| RootError::Step { what, path: path.to_owned(), source }
}

fn make_dir(path: &Path) -> Result<(), RootError> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(step("making", path)(e)),
        _ => Ok(()),
    }
}

/// A detached clone of a directory, read-only.
fn clone_plain(path: &Path) -> Result<OwnedFd, RootError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, path, flags)
        .map_err(|e| step("cloning the mount of", path)(e.into()))?;
    sys::set_attributes(&tree, sys::RDONLY | sys::NOSUID | sys::NODEV, None)
        .map_err(step("protecting the clone of", path))?;
    Ok(tree)
}

/// A detached clone of a layer whose owners are mapped into the container's range.
fn clone_mapped(layer: &Path, userns: &OwnedFd) -> Result<OwnedFd, RootError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, layer, flags)
        .map_err(|e| step("opening layer", layer)(e.into()))?;
    let protect = sys::RDONLY | sys::NOSUID | sys::NODEV;
    sys::set_attributes(&tree, protect, Some(userns))
        .map_err(|source| RootError::NoIdmap { path: layer.to_owned(), source })?;
    Ok(tree)
}

/// An overlay of these mounts (base first), detached.
fn stack(bundle: &Path, lowers: &[OwnedFd]) -> Result<OwnedFd, RootError> {
    match stack_by(bundle, lowers, LowersBy::Descriptor) {
        // Kernels before 6.13 do not know the option, or not with a descriptor.
        Err(RootError::Step { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) => {
            stack_by(bundle, lowers, LowersBy::Path)
        }
        done => done,
    }
}

pub(super) fn stack_by(
    bundle: &Path,
    lowers: &[OwnedFd],
    by: LowersBy,
) -> Result<OwnedFd, RootError> {
    let failed =
        |what: &'static str| move |e: rustix::io::Errno| step(what, Path::new("overlay"))(e.into());
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(failed("opening a file system of type"))?;
    fsconfig_set_string(&context, "source", "freehold").map_err(failed("naming"))?;
    match by {
        LowersBy::Descriptor => {
            for lower in lowers.iter().rev() {
                fsconfig_set_fd(&context, "lowerdir+", lower)
                    .map_err(failed("adding a layer to"))?;
            }
        }
        LowersBy::Path => set_lower_paths(bundle, &context, lowers)?,
    }
    fsconfig_create(&context).map_err(failed("creating"))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed("mounting"))
}

/// Attaches each lower mount below the bundle and names them all in one option.
fn set_lower_paths(bundle: &Path, context: &OwnedFd, lowers: &[OwnedFd]) -> Result<(), RootError> {
    let dir = bundle.join("lower");
    make_dir(&dir)?;
    let mut names = Vec::with_capacity(lowers.len());
    for (number, lower) in lowers.iter().enumerate().rev() {
        let at = dir.join(number.to_string());
        make_dir(&at)?;
        // A clone of the clone: the original must stay detached for another attempt.
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let copy =
            open_tree(lower, "", flags).map_err(|e| step("cloning a layer for", &at)(e.into()))?;
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&copy, "", rustix::fs::CWD, &at, empty)
            .map_err(|e| step("attaching a layer at", &at)(e.into()))?;
        names.push(number.to_string());
    }
    // The option's text is limited to 256 bytes by fsconfig(2), so the names are relative.
    let here = std::env::current_dir().map_err(step("asking for the directory", &dir))?;
    std::env::set_current_dir(&dir).map_err(step("entering", &dir))?;
    let set = fsconfig_set_string(context, "lowerdir", names.join(":"));
    std::env::set_current_dir(&here).map_err(step("returning to", &here))?;
    set.map_err(|e| step("adding layers from", &dir)(e.into()))
}

/// What lies at a path of a root; its parents must not be links.
pub(super) fn look(root: BorrowedFd<'_>, path: &Path) -> io::Result<Kind> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let stat = match rustix::fs::statat(root, relative, AtFlags::SYMLINK_NOFOLLOW) {
        Err(e) if e == rustix::io::Errno::NOENT => return Ok(Kind::Missing),
        other => other?,
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            Kind::Dir { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
        }
        FileType::Symlink => {
            let to = rustix::fs::readlinkat(root, relative, Vec::new())?;
            let to: OsString = OsStringExt::from_vec(to.into_bytes());
            Kind::Link(PathBuf::from(to))
        }
        _ => Kind::File,
    })
}

/// Makes the layer of missing mount points, with owners as the container shall see them.
fn make_skeleton(
    dir: &Path,
    nodes: &BTreeMap<PathBuf, Node>,
    range: IdRange,
) -> Result<(), RootError> {
    make_dir(dir)?;
    give(dir, 0o755, range.base, range.base)?;
    for (path, node) in nodes {
        let at = dir.join(path.strip_prefix("/").unwrap_or(path));
        match node {
            Node::Copy { mode, uid, gid } => {
                make_dir(&at)?;
                give(&at, *mode, *uid, *gid)?;
            }
            Node::Dir => {
                make_dir(&at)?;
                give(&at, 0o755, range.base, range.base)?;
            }
            Node::File => {
                fs::write(&at, b"").map_err(step("making", &at))?;
                give(&at, 0o644, range.base, range.base)?;
            }
        }
    }
    Ok(())
}

fn give(path: &Path, mode: u32, uid: u32, gid: u32) -> Result<(), RootError> {
    chown(path, Some(uid), Some(gid)).map_err(step("giving away", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(step("setting permissions of", path))
}
