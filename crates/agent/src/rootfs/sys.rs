//! The kernel calls for mounts and user namespaces that rustix does not wrap.
#![expect(unsafe_code, reason = "mount_setattr(2) and fork(2) have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// MOUNT_ATTR_RDONLY of linux/mount.h.
pub(super) const RDONLY: u64 = 0x1;
/// MOUNT_ATTR_NOSUID.
pub(super) const NOSUID: u64 = 0x2;
/// MOUNT_ATTR_NODEV.
pub(super) const NODEV: u64 = 0x4;
const IDMAP: u64 = 0x0010_0000;

/// Sets attributes on a detached mount; with a user namespace also maps its owners through it.
pub(super) fn set_attributes(
    mount: impl AsFd,
    set: u64,
    userns: Option<&dyn AsRawFd>,
) -> io::Result<()> {
    let mut attr = MountAttr { attr_set: set, ..MountAttr::default() };
    if let Some(userns) = userns {
        attr.attr_set |= IDMAP;
        attr.userns_fd = u64::try_from(userns.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: the descriptor is open for the call, the path is a C string, and the structure and
    // its size belong together; the kernel only reads it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Forks a child that does `work` and exits with its result. For single-threaded processes only.
pub(super) fn fork_child(work: impl FnOnce() -> i32) -> io::Result<rustix::process::Pid> {
    // SAFETY: the caller is single-threaded (the shim's forked child), so the child may go on using
    // the allocator; it leaves by _exit and never returns into the caller's frames.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = work();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => rustix::process::Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave 0")),
    }
}
