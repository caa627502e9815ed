//! What is mounted inside a root before the container is made: writable directories, scratch, files
//! of the host, `/sys`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::overlay::{self, Root, RootError};
use super::scratch;
use super::skeleton::{self, Node, Target};
use super::sys;
use super::user::ResolvedUser;
use crate::runtime::{ContainerSpec, Scratch};

/// Mount points every container needs, beside those its spec names.
const ALWAYS: [&str; 3] = ["/proc", "/sys", "/dev"];

enum What<'a> {
    Tmpfs { size: Option<u64> },
    Scratch(&'a Scratch),
    Bind { source: &'a Path },
}

/// Everything that must exist in the root to be mounted on. Below a writable directory mount points
/// are made in it later.
pub(crate) fn targets(spec: &ContainerSpec) -> io::Result<Vec<Target>> {
    let mut targets: Vec<Target> =
        ALWAYS.iter().map(|path| Target { path: path.into(), dir: true }).collect();
    for (path, what) in planned(spec) {
        let dir = match what {
            What::Bind { source } => fs::metadata(source)?.is_dir(),
            What::Tmpfs { .. } | What::Scratch(_) => true,
        };
        targets.push(Target { path: path.to_owned(), dir });
    }
    if !spec.working_dir.is_empty() {
        targets.push(Target { path: PathBuf::from(&spec.working_dir), dir: true });
    }
    let writable: Vec<&Path> = writable(spec).collect();
    targets.retain(|target| {
        !writable.iter().any(|over| target.path != **over && target.path.starts_with(over))
    });
    Ok(targets)
}

fn writable(spec: &ContainerSpec) -> impl Iterator<Item = &Path> {
    let tmpfs = spec.writable.iter().map(|one| one.path.as_path());
    tmpfs.chain(spec.scratch.iter().map(|one| one.path.as_path()))
}

fn planned(spec: &ContainerSpec) -> Vec<(&Path, What<'_>)> {
    let tmpfs = spec.writable.iter().map(|w| (&*w.path, What::Tmpfs { size: w.size_bytes }));
    let scratch = spec.scratch.iter().map(|s| (&*s.path, What::Scratch(s)));
    let binds = spec.binds.iter().map(|b| (&*b.path, What::Bind { source: &b.source }));
    let mut all: Vec<(&Path, What<'_>)> = tmpfs.chain(scratch).chain(binds).collect();
    // Parents first, so that what lies below is mounted over what is there by then.
    all.sort_by_key(|(path, _)| path.components().count());
    all
}

/// Mounts all of it. The caller is in the container's network namespace, which `/sys` shows. Limits
/// that cannot be enforced are added to `unenforced`.
pub(crate) fn mount_all(
    root: &Root,
    spec: &ContainerSpec,
    user: &ResolvedUser,
    unenforced: &mut Vec<String>,
) -> Result<(), RootError> {
    let sysfs = new_sysfs().map_err(|source| failed("mounting", Path::new("/sys"), source))?;
    attach(root, &sysfs, Path::new("/sys"), true, spec.id_range.base)?;
    for (path, what) in planned(spec) {
        let (mount, dir) = match what {
            What::Tmpfs { size } => (new_tmpfs(size, spec, user), true),
            What::Scratch(scratch) => {
                let mounted = scratch::mount(scratch, spec.id_range, user);
                let mount = mounted.map(|mounted| {
                    unenforced.extend(mounted.unbounded.map(|why| {
                        format!("the size of scratch {}: {why}", scratch.path.display())
                    }));
                    mounted.mount
                });
                (mount, true)
            }
            What::Bind { source } => {
                let dir = fs::metadata(source).map(|meta| meta.is_dir());
                (new_bind(root, source), dir.unwrap_or(false))
            }
        };
        let mount = mount.map_err(|source| failed("preparing what is mounted at", path, source))?;
        attach(root, &mount, path, dir, spec.id_range.base)?;
    }
    if !spec.working_dir.is_empty() {
        let dir = Path::new(&spec.working_dir);
        ensure(root, dir, true, spec.id_range.base)
            .map_err(|source| failed("making working directory", dir, source))?;
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> RootError {
    RootError::Step { what, path: path.to_owned(), source }
}

fn attach(
    root: &Root,
    mount: &OwnedFd,
    path: &Path,
    dir: bool,
    owner: u32,
) -> Result<(), RootError> {
    let target = ensure(root, path, dir, owner)
        .map_err(|source| failed("making a mount point at", path, source))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", &target, "", flags).map_err(|e| failed("mounting at", path, e.into()))
}

/// Opens a path of the root, making what is missing; that works below writable mounts only.
fn ensure(root: &Root, path: &Path, dir: bool, owner: u32) -> io::Result<OwnedFd> {
    match root.open(path, OFlags::PATH) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let target = Target { path: path.to_owned(), dir };
    let nodes = skeleton::plan(&[target], &mut |path| overlay::look(root.fd(), path))?;
    for (path, node) in nodes.map_err(io::Error::other)? {
        // The plan's paths are resolved: no component of them is a link.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = root.open(parent, OFlags::PATH)?;
        match node {
            Node::Copy { .. } => continue,
            Node::Dir => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
            Node::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(0o644);
                rustix::fs::openat(&parent, name, flags | OFlags::WRONLY, mode)?;
            }
        }
        let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
        rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    root.open(path, OFlags::PATH)
}

fn new_sysfs() -> io::Result<OwnedFd> {
    let context = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn new_tmpfs(size: Option<u64>, spec: &ContainerSpec, user: &ResolvedUser) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let size = size.unwrap_or(spec.limits.memory_bytes).min(spec.limits.memory_bytes);
    fsconfig_set_string(&context, "source", "tmpfs")?;
    fsconfig_set_string(&context, "size", size.to_string())?;
    // Everybody inside may write, as in /tmp: which of an image's users needs it is not known here.
    fsconfig_set_string(&context, "mode", "1777")?;
    fsconfig_set_string(&context, "uid", (spec.id_range.base + user.uid).to_string())?;
    fsconfig_set_string(&context, "gid", (spec.id_range.base + user.gid).to_string())?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn new_bind(root: &Root, source: &Path) -> io::Result<OwnedFd> {
    let tree = clone(source)?;
    let protect = sys::RDONLY | sys::NOSUID | sys::NODEV;
    // The host's root is the container's root in these files, where the kernel can map (tmpfs since
    // 6.3); else they have no owner inside and their permissions for others count.
    if sys::set_attributes(&tree, protect, Some(root.userns())).is_err() {
        sys::set_attributes(&tree, protect, None)?;
    }
    Ok(tree)
}

/// A clone of what is at a path, attached nowhere.
pub(super) fn clone(source: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(rustix::fs::CWD, source, flags)?)
}
