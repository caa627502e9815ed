//! Which devices a container may open on cgroup version 2, where that is a program attached to its
//! cgroup rather than a controller. libcontainer does not do it as built here, so the shim does.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::creator::CreateError;
use crate::cgroup::{Cgroup, Layout};
use crate::runtime::oci::DEVICES;

/// One instruction of extended BPF, `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination register in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Operations, from linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const AND_IMMEDIATE: u8 = 0x54;
const JUMP_UNEQUAL: u8 = 0x55;
const SET: u8 = 0xb7;
const EXIT: u8 = 0x95;

/// Fields of `struct bpf_cgroup_dev_ctx`: access and type in one word, then the numbers.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;
/// BPF_DEVCG_DEV_CHAR.
const CHARACTER: i32 = 2;
/// BPF_DEVCG_ACC_MKNOD, in the high half of the first word.
const MAKE_NODE: i32 = 1;

// Commands and kinds of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const KIND_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// BPF_F_ALLOW_MULTI: programs of parents (systemd's, say) stay in force as well.
const ALLOW_MULTI: u32 = 2;

/// The program: allow the default devices for reading and writing, deny everything else.
fn program() -> Vec<Instruction> {
    let op =
        |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
    // Registers: 1 is the context, 2 the type, 3 the access, 4 major, 5 minor, 0 the answer.
    let mut code = vec![
        op(LOAD_WORD, 0x12, ACCESS_TYPE, 0),
        op(LOAD_WORD, 0x13, ACCESS_TYPE, 0),
        op(AND_IMMEDIATE, 0x02, 0, 0xffff),
        op(AND_IMMEDIATE, 0x03, 0, MAKE_NODE << 16),
        op(LOAD_WORD, 0x14, MAJOR, 0),
        op(LOAD_WORD, 0x15, MINOR, 0),
        op(SET, 0x00, 0, 0),
        // Over the exit when it is a character device that is not being made.
        op(JUMP_UNEQUAL, 0x02, 1, CHARACTER),
        op(0x15, 0x03, 1, 0),
        op(EXIT, 0, 0, 0),
    ];
    for (major, minor) in DEVICES {
        let number = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        match minor {
            Some(minor) => code.extend([
                op(JUMP_UNEQUAL, 0x04, 3, number(major)),
                op(JUMP_UNEQUAL, 0x05, 2, number(minor)),
            ]),
            None => code.push(op(JUMP_UNEQUAL, 0x04, 2, number(major))),
        }
        code.extend([op(SET, 0x00, 0, 1), op(EXIT, 0, 0, 0)]);
    }
    code.extend([op(SET, 0x00, 0, 0), op(EXIT, 0, 0, 0)]);
    code
}

/// Puts the program in force for a container's cgroup.
pub(super) fn confine(layout: &Layout, cgroup: &Path) -> Result<(), CreateError> {
    let handle = Cgroup::at(layout, cgroup);
    let dir = handle.unified_dir().unwrap_or(cgroup);
    let failed = |source| CreateError::io("denying devices to cgroup", dir, source);
    let dir_fd = std::fs::File::open(dir).map_err(failed)?;
    let program = load(&program()).map_err(failed)?;
    attach(&program, &dir_fd).map_err(failed)
}

fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    /// The head of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        code: u64,
        license: u64,
    }
    let attr = Load {
        kind: KIND_CGROUP_DEVICE,
        count: u32::try_from(code.len()).map_err(io::Error::other)?,
        code: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    // SAFETY: the kernel reads `size_of` bytes of the structure (more count as zero) and `count`
    // instructions behind it, all of which live through the call; it gives a new descriptor.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attr, size_of::<Load>());
        let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

fn attach(program: &OwnedFd, cgroup: &impl AsRawFd) -> io::Result<()> {
    /// The head of `union bpf_attr` for BPF_PROG_ATTACH.
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let descriptor = |fd: libc::c_int| u32::try_from(fd).map_err(io::Error::other);
    let attr = Attach {
        target: descriptor(cgroup.as_raw_fd())?,
        program: descriptor(program.as_raw_fd())?,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the structure lives through the call and is only read.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attr, size_of::<Attach>()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::{attach, load, program};
    use crate::cgroup::Layout;

    /// A process in a cgroup with the program, on this host's own version 2 mount.
    #[test]
    fn devices_of_the_list_open_and_others_do_not() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root for cgroups and BPF");
            return;
        }
        let Some(unified) = Layout::of_this_host().unwrap().unified else {
            eprintln!("skipped: needs a mounted version 2 hierarchy");
            return;
        };
        let dir = unified.join(format!("freehold-devices-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let cgroup = std::fs::File::open(&dir).unwrap();
        attach(&load(&program()).unwrap(), &cgroup).unwrap();
        let nodes = tempfile::tempdir().unwrap();
        let other = nodes.path().join("kmsg");
        let script = format!(
            "mknod {0} c 1 11; echo $$ > {1}/cgroup.procs; echo x > /dev/null && echo null; \
             head -c 1 /dev/urandom | wc -c; (: < {0}) 2>/dev/null && echo opened; \
             mknod {0}2 c 1 3 2>/dev/null && echo made; true",
            other.display(),
            dir.display()
        );
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        std::fs::remove_dir(&dir).unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "null\n1\n");
    }
}
