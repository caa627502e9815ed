//! The program against the list, through an interpreter of its own.

use super::*;

/// Runs the program as the kernel would.
fn run(code: &[Instruction], arch: u32, call: u32, args: [u32; 6]) -> u32 {
    let mut value = 0;
    let mut at = 0;
    loop {
        let step = code[at];
        at += 1;
        let skip = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match step.code {
            LD_W_ABS => {
                value = match step.k {
                    NUMBER => call,
                    ARCH => arch,
                    other => args[(other as usize - 16) / 8],
                };
            }
            JMP_JA => at += step.k as usize,
            JMP_JEQ => at += skip(value == step.k),
            JMP_JGE => at += skip(value >= step.k),
            JMP_JSET => at += skip(value & step.k != 0),
            ALU_AND => value &= step.k,
            RET => return step.k,
            other => panic!("no such instruction {other:#x}"),
        }
    }
}

fn errno(number: i32) -> u32 {
    ERRNO | u32::try_from(number).unwrap()
}

#[test]
fn every_number_is_decided_as_the_list_says() {
    let code = program();
    assert!(code.len() < 600, "{} instructions", code.len());
    let allowed =
        |call: u32| ALLOWED.iter().chain(ALLOWED_HERE).any(|(_, known)| number(*known) == call);
    let special: Vec<u32> = special().into_iter().map(|(call, _)| number(call)).collect();
    for call in (0..2000).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
        if special.contains(&call) {
            continue;
        }
        let want = match call {
            _ if allowed(call) => ALLOW,
            _ if call > number(NEWEST_KNOWN) => errno(libc::ENOSYS),
            _ => errno(libc::EPERM),
        };
        assert_eq!(run(&code, THIS_ARCH, call, [0; 6]), want, "call {call}");
        assert_eq!(run(&code, 0x4000_0003, call, [0; 6]), errno(libc::ENOSYS), "other arch");
    }
}

#[test]
fn arguments_decide_where_they_matter() {
    let code = program();
    let check = |call: libc::c_long, args: [u32; 3], want: u32| {
        let args = [args[0], args[1], args[2], 0, 0, 0];
        assert_eq!(run(&code, THIS_ARCH, number(call), args), want, "{call} {args:?}");
    };
    let denied = errno(libc::EPERM);
    check(libc::SYS_clone, [0x003d_0f00, 0, 0], ALLOW);
    for flag in [0x1000_0000, 0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0400_0000, 0x0200_0000] {
        check(libc::SYS_clone, [flag | 17, 0, 0], denied);
    }
    check(libc::SYS_clone3, [0; 3], errno(libc::ENOSYS));
    for family in 0..64 {
        let want = match family {
            1 | 2 | 10 | 16 => ALLOW,
            _ => errno(libc::EAFNOSUPPORT),
        };
        check(libc::SYS_socket, [family, 1, 0], want);
    }
    check(libc::SYS_socket, [16, 3, 9], errno(libc::EAFNOSUPPORT));
    check(libc::SYS_personality, [0xffff_ffff, 0, 0], ALLOW);
    check(libc::SYS_personality, [0x0040_0000, 0, 0], denied);
    check(libc::SYS_ioctl, [0, 0x5401, 0], ALLOW);
    check(libc::SYS_ioctl, [0, 0x5412, 0], denied);
    check(libc::SYS_mknodat, [0, 0, 0o010_644], ALLOW);
    check(libc::SYS_mknodat, [0, 0, 0o020_644], denied);
}

#[test]
fn what_must_never_be_allowed_is_not() {
    for call in [
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_ptrace,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_init_module,
        libc::SYS_io_uring_setup,
        libc::SYS_process_vm_writev,
        libc::SYS_open_by_handle_at,
        libc::SYS_userfaultfd,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
    ] {
        assert_eq!(run(&program(), THIS_ARCH, number(call), [0; 6]), errno(libc::EPERM));
    }
}
