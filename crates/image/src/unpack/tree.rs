//! Making files under one directory and nowhere else.
//!
//! Every path is walked from the root's descriptor. Where all components are plain directories
//! one `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)` does it; else components are looked at one
//! by one, symbolic links are resolved by hand as a process inside the container would see them
//! (an absolute target starts at the layer's root, `..` stops there), and missing directories are
//! made. The last component is never followed: what is there is removed, not written through.
//! Only this process writes the tree while it is being made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, ResolveFlags, Stat, Timespec, Timestamps,
    UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::archive::{Entry, Time};
use crate::unpack::{EntryError, Limits};

/// The kernel's own limit on links in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// The longest name of a file (`NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;

/// Most bytes of directories' paths remembered to set their times last: a million directories
/// with paths of 64 bytes.
const MAX_REMEMBERED_BYTES: usize = 64 << 20;

/// How "not there, whatever lower layers have" is written for overlayfs
/// (kernel documentation, filesystems/overlayfs.rst, "whiteouts and opaque directories").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// A character device 0:0, and `trusted.overlay.opaque`: for overlays mounted by root.
    #[default]
    Device,
    /// An empty file with `trusted.overlay.whiteout` (Linux ≥ 6.7).
    TrustedXattr,
    /// The same with `user.overlay.…`: for overlays mounted with `userxattr`.
    UserXattr,
}

impl Whiteouts {
    fn opaque(self) -> &'static str {
        match self {
            Self::Device | Self::TrustedXattr => "trusted.overlay.opaque",
            Self::UserXattr => "user.overlay.opaque",
        }
    }

    fn whiteout(self) -> Option<&'static str> {
        match self {
            Self::Device => None,
            Self::TrustedXattr => Some("trusted.overlay.whiteout"),
            Self::UserXattr => Some("user.overlay.whiteout"),
        }
    }
}

/// A path inside the layer, as components without `.`, `..` and empty ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerPath(Vec<Vec<u8>>);

impl LayerPath {
    /// Leading slashes and `.` mean nothing in an archive; `..` is refused.
    pub(crate) fn parse(path: &[u8], limits: &Limits) -> Result<Self, EntryError> {
        if path.contains(&0) {
            return Err(EntryError::Nul);
        }
        let over = |what, limit: usize| EntryError::Limit { what, limit: limit as u64 };
        if path.len() > limits.path_bytes {
            return Err(over("path in bytes", limits.path_bytes));
        }
        let parts: Vec<_> =
            path.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if parts.contains(&&b".."[..]) {
            return Err(EntryError::Parent);
        }
        if parts.len() > limits.depth {
            return Err(over("path in components", limits.depth));
        }
        if parts.iter().any(|part| part.len() > MAX_NAME_BYTES) {
            return Err(over("name in bytes", MAX_NAME_BYTES));
        }
        Ok(Self(parts.into_iter().map(<[u8]>::to_vec).collect()))
    }

    /// The directory and the name in it; `None` for the root itself.
    pub(crate) fn split(&self) -> Option<(Self, &[u8])> {
        let (name, dir) = self.0.split_last()?;
        Some((Self(dir.to_vec()), name))
    }

    /// The components.
    pub(crate) fn into_parts(self) -> Vec<Vec<u8>> {
        self.0
    }

    fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
        if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') }
    }
}

/// A directory being filled.
pub(crate) struct Tree<'a> {
    root: Rc<OwnedFd>,
    whiteouts: Whiteouts,
    limits: &'a Limits,
    /// The directory of the last entry: most entries share it with the one before.
    last: Option<(LayerPath, Rc<OwnedFd>)>,
    /// Directories that the archive has no entry for (yet), by resolved path.
    implicit: BTreeSet<Vec<u8>>,
    /// Times of directories: set last, because making files in them changes them.
    times: BTreeMap<LayerPath, Time>,
    remembered_bytes: usize,
}

impl<'a> Tree<'a> {
    pub(crate) fn open(
        root: &std::path::Path,
        whiteouts: Whiteouts,
        limits: &'a Limits,
    ) -> Result<Self, EntryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = Rc::new(rustix::fs::openat(CWD, root, flags, Mode::empty())?);
        rustix::fs::fchmod(&*root, Mode::from_raw_mode(0o755))?;
        Ok(Self {
            root,
            whiteouts,
            limits,
            last: None,
            implicit: BTreeSet::from([Vec::new()]),
            times: BTreeMap::new(),
            remembered_bytes: 0,
        })
    }

    /// The descriptor of the directory `dir`, made if `make` and missing.
    pub(crate) fn enter(&mut self, dir: &LayerPath, make: bool) -> Result<Rc<OwnedFd>, EntryError> {
        if let Some((path, fd)) = &self.last
            && path == dir
        {
            return Ok(Rc::clone(fd));
        }
        let fd = match self.open_plain(&dir.0) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOENT | Errno::NOTDIR) => self.walk(dir, make)?,
            Err(e) => return Err(e.into()),
        };
        let fd = Rc::new(fd);
        self.last = Some((dir.clone(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Opens a directory whose path has no symbolic link.
    fn open_plain(&self, parts: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
        let path = LayerPath::joined(parts);
        rustix::fs::openat2(
            &*self.root,
            OsStr::from_bytes(&path),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH
                | ResolveFlags::NO_SYMLINKS
                | ResolveFlags::NO_MAGICLINKS
                | ResolveFlags::NO_XDEV,
        )
    }

    /// Walks component by component. `resolved` never has a symbolic link in it.
    fn walk(&mut self, dir: &LayerPath, make: bool) -> Result<OwnedFd, EntryError> {
        let mut ahead: VecDeque<Vec<u8>> = dir.0.iter().cloned().collect();
        let mut resolved: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part.is_empty() || part == b"." {
                continue;
            }
            if part == b".." {
                resolved.pop();
                continue;
            }
            let fd = self.open_plain(&resolved)?;
            let name = OsStr::from_bytes(&part);
            match stat(&fd, &part)? {
                Some(found) if is(&found, FileType::Directory) => resolved.push(part),
                Some(found) if is(&found, FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(EntryError::Loop);
                    }
                    let target = rustix::fs::readlinkat(&fd, name, Vec::new())?.into_bytes();
                    if target.starts_with(b"/") {
                        resolved.clear();
                    }
                    for step in target.split(|b| *b == b'/').rev() {
                        ahead.push_front(step.to_vec());
                    }
                }
                Some(found) => {
                    let whiteout = self.is_whiteout(&fd, &part, &found)?;
                    if !(whiteout && make) {
                        return Err(EntryError::NotADirectory(lossy(&part)));
                    }
                    rustix::fs::unlinkat(&fd, name, AtFlags::empty())?;
                    resolved.push(part);
                    self.make_implicit(&fd, &resolved)?;
                    self.set_opaque(&self.open_plain(&resolved)?)?;
                }
                None if make => {
                    resolved.push(part);
                    self.make_implicit(&fd, &resolved)?;
                }
                None => return Err(Errno::NOENT.into()),
            }
            self.check_resolved(&resolved)?;
        }
        Ok(self.open_plain(&resolved)?)
    }

    fn check_resolved(&self, resolved: &[Vec<u8>]) -> Result<(), EntryError> {
        let over = |what, limit: usize| EntryError::Limit { what, limit: limit as u64 };
        if resolved.len() > self.limits.depth {
            return Err(over("path in components", self.limits.depth));
        }
        let bytes: usize = resolved.iter().map(|part| part.len() + 1).sum();
        if bytes > self.limits.path_bytes {
            return Err(over("path in bytes", self.limits.path_bytes));
        }
        Ok(())
    }

    /// A directory that the archive takes for granted: root's, mode 755.
    fn make_implicit(&mut self, at: &OwnedFd, resolved: &[Vec<u8>]) -> Result<(), EntryError> {
        self.check_resolved(resolved)?;
        let name = OsStr::from_bytes(resolved.last().expect("the caller pushed a component"));
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755))?;
        let made = self.open_plain(resolved)?;
        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
        let path = LayerPath::joined(resolved);
        self.remember(path.len())?;
        self.implicit.insert(path);
        Ok(())
    }

    fn remember(&mut self, path_bytes: usize) -> Result<(), EntryError> {
        self.remembered_bytes += path_bytes + 32;
        if self.remembered_bytes > MAX_REMEMBERED_BYTES {
            let limit = MAX_REMEMBERED_BYTES as u64;
            return Err(EntryError::Limit { what: "layer's directory paths in bytes", limit });
        }
        Ok(())
    }

    /// Takes away what is at `name`, a whole tree if need be; says whether it was a whiteout.
    fn clear(&mut self, at: &OwnedFd, name: &[u8]) -> Result<bool, EntryError> {
        let Some(found) = stat(at, name)? else { return Ok(false) };
        let path = OsStr::from_bytes(name);
        if is(&found, FileType::Directory) {
            self.last = None;
            remove_tree(at, name)?;
            return Ok(false);
        }
        if is(&found, FileType::Symlink) {
            self.last = None;
        }
        let whiteout = self.is_whiteout(at, name, &found)?;
        rustix::fs::unlinkat(at, path, AtFlags::empty())?;
        Ok(whiteout)
    }

    /// A new file, open for writing; it gets its attributes by [`Tree::finish_file`].
    pub(crate) fn file(&mut self, at: &OwnedFd, name: &[u8]) -> Result<File, EntryError> {
        self.clear(at, name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(File::from(rustix::fs::openat(at, OsStr::from_bytes(name), flags, mode)?))
    }

    /// Owner first (that clears set-id bits and capabilities), then mode, attributes, time.
    pub(crate) fn finish_file(&self, file: &File, entry: &Entry) -> Result<u64, EntryError> {
        let (uid, gid) = owner(entry)?;
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
        let dropped = self.set_xattrs(entry, |name, value| {
            rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
        })?;
        rustix::fs::futimens(file, &timestamps(entry.mtime))?;
        Ok(dropped)
    }

    /// A directory with the entry's attributes; `path` empty is the root. One that is there gets
    /// them too; one that replaces a whiteout of this layer hides what is below it.
    pub(crate) fn directory(&mut self, path: &LayerPath, entry: &Entry) -> Result<u64, EntryError> {
        let fd = match path.split() {
            None => Rc::clone(&self.root),
            Some((dir, name)) => {
                let at = self.enter(&dir, true)?;
                let found = stat(&at, name)?;
                let mut opaque = false;
                if !found.is_some_and(|found| is(&found, FileType::Directory)) {
                    opaque = self.clear(&at, name)?;
                    let mode = Mode::from_raw_mode(0o700);
                    rustix::fs::mkdirat(&*at, OsStr::from_bytes(name), mode)?;
                }
                let fd = open_directory(&at, name)?;
                if opaque {
                    self.set_opaque(&fd)?;
                }
                Rc::new(fd)
            }
        };
        let (uid, gid) = owner(entry)?;
        rustix::fs::fchown(&*fd, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&*fd, Mode::from_raw_mode(entry.mode))?;
        let dropped = self.set_xattrs(entry, |name, value| {
            rustix::fs::fsetxattr(&*fd, name, value, XattrFlags::empty())
        })?;
        if self.times.insert(path.clone(), entry.mtime).is_none() {
            self.remember(path.0.iter().map(|part| part.len() + 24).sum())?;
        }
        Ok(dropped)
    }

    pub(crate) fn symlink(
        &mut self,
        at: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<u64, EntryError> {
        if entry.link.contains(&0) {
            return Err(EntryError::Nul);
        }
        if entry.link.is_empty() || entry.link.len() > self.limits.path_bytes {
            let limit = self.limits.path_bytes as u64;
            return Err(EntryError::Limit { what: "link target in bytes", limit });
        }
        self.clear(at, name)?;
        let path = OsStr::from_bytes(name);
        rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), at, path)?;
        self.finish_special(at, name, entry)
    }

    pub(crate) fn fifo(
        &mut self,
        at: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<u64, EntryError> {
        self.clear(at, name)?;
        let path = OsStr::from_bytes(name);
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(at, path, FileType::Fifo, mode, 0)?;
        let dropped = self.finish_special(at, name, entry)?;
        // Not a link and made by us alone, so naming it by its directory is safe.
        rustix::fs::chmodat(at, path, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        Ok(dropped)
    }

    /// Owner, attributes and time of what cannot be opened: symbolic links and fifos.
    fn finish_special(&self, at: &OwnedFd, name: &[u8], entry: &Entry) -> Result<u64, EntryError> {
        let path = OsStr::from_bytes(name);
        let (uid, gid) = owner(entry)?;
        rustix::fs::chownat(at, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let mut full = format!("/proc/self/fd/{}/", at.as_raw_fd()).into_bytes();
        full.extend(name);
        let dropped = self.set_xattrs(entry, |key, value| {
            rustix::fs::lsetxattr(OsStr::from_bytes(&full), key, value, XattrFlags::empty())
        })?;
        let times = timestamps(entry.mtime);
        rustix::fs::utimensat(at, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(dropped)
    }

    /// A second name for a file of this layer.
    pub(crate) fn hard_link(
        &mut self,
        at: &OwnedFd,
        name: &[u8],
        target: &[u8],
    ) -> Result<(), EntryError> {
        let missing = || EntryError::LinkTarget(lossy(target));
        let path = LayerPath::parse(target, self.limits)?;
        let (dir, target_name) = path.split().ok_or_else(missing)?;
        let from = match self.enter(&dir, false) {
            Err(EntryError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(missing());
            }
            other => other?,
        };
        let found = stat(&from, target_name)?.ok_or_else(missing)?;
        if is(&found, FileType::Directory) || self.is_whiteout(&from, target_name, &found)? {
            return Err(missing());
        }
        let there = stat(at, name)?;
        if there.is_some_and(|t| (t.st_dev, t.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        self.clear(at, name)?;
        let (old, new) = (OsStr::from_bytes(target_name), OsStr::from_bytes(name));
        match rustix::fs::linkat(&*from, old, at, new, AtFlags::empty()) {
            // Clearing the name took the target's directory with it.
            Err(Errno::NOENT) => Err(missing()),
            other => Ok(other?),
        }
    }

    /// Hides `name` of the layers below. What this layer itself has there stays.
    pub(crate) fn whiteout(&mut self, at: &OwnedFd, name: &[u8]) -> Result<(), EntryError> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err(EntryError::Whiteout);
        }
        if let Some(found) = stat(at, name)? {
            if is(&found, FileType::Directory) {
                self.set_opaque(&open_directory(at, name)?)?;
            }
            return Ok(());
        }
        let path = OsStr::from_bytes(name);
        let Some(xattr) = self.whiteouts.whiteout() else {
            let mode = Mode::empty();
            rustix::fs::mknodat(at, path, FileType::CharacterDevice, mode, 0)?;
            let times = timestamps(Time::default());
            rustix::fs::utimensat(at, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            return Ok(());
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(at, path, flags, Mode::empty())?;
        set_own_xattr(&file, xattr, b"y")?;
        rustix::fs::futimens(&file, &timestamps(Time::default()))?;
        // Tells overlayfs to look for such files here; "y" hides everything anyway.
        let dir = rustix::fs::openat(at, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut value = [0; 1];
        match rustix::fs::fgetxattr(&dir, self.whiteouts.opaque(), &mut value) {
            Ok(_) => Ok(()),
            Err(Errno::NODATA) => set_own_xattr(&dir, self.whiteouts.opaque(), b"x"),
            Err(e) => Err(e.into()),
        }
    }

    /// Hides everything that layers below have in `dir`.
    pub(crate) fn opaque(&mut self, dir: &OwnedFd) -> Result<(), EntryError> {
        self.set_opaque(dir)
    }

    fn set_opaque(&self, dir: &OwnedFd) -> Result<(), EntryError> {
        set_own_xattr(dir, self.whiteouts.opaque(), b"y")
    }

    fn is_whiteout(&self, at: &OwnedFd, name: &[u8], found: &Stat) -> Result<bool, EntryError> {
        match self.whiteouts.whiteout() {
            None => Ok(is(found, FileType::CharacterDevice)),
            Some(_) if !is(found, FileType::RegularFile) || found.st_size != 0 => Ok(false),
            Some(xattr) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(at, OsStr::from_bytes(name), flags, Mode::empty())?;
                match rustix::fs::fgetxattr(&file, xattr, &mut [0; 1]) {
                    Ok(_) => Ok(true),
                    Err(Errno::NODATA) => Ok(false),
                    Err(e) => Err(e.into()),
                }
            }
        }
    }

    /// Sets what a layer may carry: `user.*` and file capabilities. The rest would speak to the
    /// host (`trusted.*` to overlayfs itself, `security.selinux` to its policy) and is dropped.
    fn set_xattrs(
        &self,
        entry: &Entry,
        set: impl Fn(&OsStr, &[u8]) -> Result<(), Errno>,
    ) -> Result<u64, EntryError> {
        let mut dropped = 0;
        for (name, value) in &entry.xattrs {
            if value.len() > self.limits.xattr_bytes || name.len() > MAX_NAME_BYTES {
                let limit = self.limits.xattr_bytes as u64;
                return Err(EntryError::Limit { what: "extended attribute in bytes", limit });
            }
            let user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
            if !user && name != b"security.capability" {
                dropped += 1;
                continue;
            }
            match set(OsStr::from_bytes(name), value) {
                Ok(()) => {}
                // Links and fifos cannot have them; some file systems have none for users.
                Err(Errno::PERM | Errno::NOTSUP) if user => dropped += 1,
                Err(e) => {
                    return Err(EntryError::Xattr { name: lossy(name), source: e.into() });
                }
            }
        }
        Ok(dropped)
    }

    /// Sets the times of directories, now that nothing is made in them any more.
    pub(crate) fn finish(mut self) -> Result<u64, EntryError> {
        let implicit = std::mem::take(&mut self.implicit);
        for path in &implicit {
            let path = LayerPath::parse(path, self.limits)?;
            if let Ok(fd) = self.open_plain(&path.0) {
                rustix::fs::futimens(&fd, &timestamps(Time::default()))?;
            }
        }
        for (path, time) in std::mem::take(&mut self.times) {
            // It may have been replaced by something else later in the archive.
            let fd = match path.split() {
                None => Rc::clone(&self.root),
                Some((dir, name)) => {
                    let Ok(at) = self.enter(&dir, false) else { continue };
                    let Ok(fd) = open_directory(&at, name) else { continue };
                    Rc::new(fd)
                }
            };
            rustix::fs::futimens(&*fd, &timestamps(time))?;
        }
        Ok(implicit.len() as u64 - 1)
    }
}

fn open_directory(at: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, OsStr::from_bytes(name), flags, Mode::empty())
}

fn stat(at: &OwnedFd, name: &[u8]) -> Result<Option<Stat>, EntryError> {
    match rustix::fs::statat(at, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode as RawMode) == kind
}

/// Removes a directory and everything in it. The standard library walks by descriptors and
/// follows no links; the path through the descriptor keeps it in place.
fn remove_tree(at: &OwnedFd, name: &[u8]) -> Result<(), EntryError> {
    let mut path = format!("/proc/self/fd/{}/", at.as_fd().as_raw_fd()).into_bytes();
    path.extend(name);
    Ok(std::fs::remove_dir_all(OsStr::from_bytes(&path))?)
}

fn set_own_xattr(fd: &OwnedFd, name: &str, value: &[u8]) -> Result<(), EntryError> {
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        .map_err(|e| EntryError::Xattr { name: name.to_owned(), source: e.into() })
}

fn owner(entry: &Entry) -> Result<(Uid, Gid), EntryError> {
    // The largest number means "leave it as it is" to chown.
    let number = |id: u64| match u32::try_from(id) {
        Ok(id) if id < u32::MAX => Ok(id),
        _ => Err(EntryError::Owner(id)),
    };
    Ok((Uid::from_raw(number(entry.uid)?), Gid::from_raw(number(entry.gid)?)))
}

fn timestamps(time: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos) },
    }
}

/// A name for people.
pub(crate) fn lossy(name: &[u8]) -> String {
    let shown = String::from_utf8_lossy(name);
    shown.chars().take(200).collect()
}
