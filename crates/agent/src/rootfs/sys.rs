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

/// A loop device that goes when its last user goes.
pub(super) struct LoopDevice {
    pub path: String,
    /// Keeps the device until it is mounted.
    _open: std::fs::File,
}

/// `struct loop_info64` of linux/loop.h; all but the flags stay zero.
#[repr(C)]
struct LoopInfo {
    before: [u64; 5],
    number: [u32; 3],
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
/// Detach when the last user closes.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// How often another free device is tried when somebody else was faster.
const LOOP_TRIES: u32 = 64;

/// Makes a file a block device.
pub(super) fn attach_loop(file: impl AsFd) -> io::Result<LoopDevice> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).write(true);
    let control = options.open("/dev/loop-control")?;
    let fd = u32::try_from(file.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    for _ in 0..LOOP_TRIES {
        // SAFETY: the request takes no argument and the descriptor is open.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = format!("/dev/loop{number}");
        let open = options.open(&path)?;
        let info = LoopInfo {
            before: [0; 5],
            number: [0; 3],
            flags: LO_FLAGS_AUTOCLEAR,
            names: [0; 160],
            init: [0; 2],
        };
        let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
        // SAFETY: the structure is the one this request reads, and lives through the call.
        let done = unsafe { libc::ioctl(open.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
        if done == 0 {
            return Ok(LoopDevice { path, _open: open });
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error);
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy))
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
