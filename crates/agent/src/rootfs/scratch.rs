//! Scratch space: writable directories on disk. One with a size is a file system of its own in a
//! sparse file, so that the size holds; where the host has no loop devices or no `mkfs.ext4` it is
//! a plain directory, and whoever asked is told that nothing holds it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::mounts::clone;
use super::sys;
use super::user::ResolvedUser;
use crate::runtime::{IdRange, Scratch};

/// A scratch space, not attached anywhere yet.
pub(super) struct Mounted {
    pub mount: OwnedFd,
    /// Why its size does not hold.
    pub unbounded: Option<io::Error>,
}

/// Makes what is missing and mounts it. What an earlier start of the instance left is kept.
pub(super) fn mount(scratch: &Scratch, range: IdRange, user: &ResolvedUser) -> io::Result<Mounted> {
    let (uid, gid) = (Some(range.base + user.uid), Some(range.base + user.gid));
    let mut unbounded = None;
    if let Some(size) = scratch.size_bytes {
        match bounded(&image(&scratch.source), size) {
            Ok(mount) => {
                // The descriptor's own path: a detached mount has no other.
                let root = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&mount));
                chown(&root, uid, gid)?;
                fs::set_permissions(&root, Permissions::from_mode(0o1777))?;
                return Ok(Mounted { mount, unbounded });
            }
            Err(error) => unbounded = Some(error),
        }
    }
    fs::create_dir_all(&scratch.source)?;
    chown(&scratch.source, uid, gid)?;
    fs::set_permissions(&scratch.source, Permissions::from_mode(0o1777))?;
    let mount = clone(&scratch.source)?;
    sys::set_attributes(&mount, sys::NOSUID | sys::NODEV, None)?;
    Ok(Mounted { mount, unbounded })
}

/// The file that holds a bounded space.
fn image(source: &Path) -> PathBuf {
    source.with_extension("ext4")
}

fn bounded(image: &Path, size: u64) -> io::Result<OwnedFd> {
    if !image.exists() {
        make(image, size)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(image)?;
    let device = sys::attach_loop(file.as_fd())?;
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device.path.as_str())?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Makes the file with an empty file system in it, whole or not at all.
fn make(image: &Path, size: u64) -> io::Result<()> {
    let parent = image.parent().ok_or_else(|| io::Error::other("scratch space needs a parent"))?;
    fs::create_dir_all(parent)?;
    let fresh = image.with_extension("new");
    let mut options = OpenOptions::new();
    let file: File = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.set_len(size)?;
    // Nothing is kept for root, nothing is written ahead of need.
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
        .arg(&fresh)
        // A service's own search path may lack the directories of administrators.
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(io::Error::other(format!("mkfs.ext4 failed: {}", said.trim())));
    }
    fs::rename(&fresh, image)
}
