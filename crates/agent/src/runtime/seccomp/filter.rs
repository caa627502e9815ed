//! The allow-list as a classic BPF program for seccomp(2). Pure.

use super::table::{ALLOWED, ALLOWED_HERE, NEWEST_KNOWN};

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to pass over when a comparison holds.
    pub jt: u8,
    /// Instructions to pass over when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

// From linux/bpf_common.h and linux/seccomp.h.
pub(super) const LD_W_ABS: u16 = 0x20;
pub(super) const JMP_JA: u16 = 0x05;
pub(super) const JMP_JEQ: u16 = 0x15;
pub(super) const JMP_JGE: u16 = 0x35;
pub(super) const JMP_JSET: u16 = 0x45;
pub(super) const RET: u16 = 0x06;
pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`; both architectures are little-endian, so an argument's low
/// half comes first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// AUDIT_ARCH_X86_64 or AUDIT_ARCH_AARCH64 of linux/audit.h.
#[cfg(target_arch = "x86_64")]
pub(super) const THIS_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const THIS_ARCH: u32 = 0xc000_00b7;

/// Flags of clone(2) that make namespaces.
pub(super) const NAMESPACE_FLAGS: u32 = 0x7e02_0080;
/// Socket families allowed: unix, IPv4, IPv6; netlink is routing only.
pub(super) const FAMILIES: [u32; 3] = [1, 2, 10];
const AF_NETLINK: u32 = 16;
const NETLINK_ROUTE: u32 = 0;
/// Personalities programs ask for: Linux, the same with uname26, with a fixed address layout, and
/// "tell".
pub(super) const PERSONALITIES: [u32; 4] = [0, 0x0002_0000, 0x0004_0000, 0xffff_ffff];
/// Requests that put characters into a terminal's input.
pub(super) const IOCTLS_DENIED: [u32; 2] = [0x5412, 0x541c];
/// File types mknod(2) may make: a plain file (0), S_IFREG, S_IFIFO, S_IFSOCK; the mask is S_IFMT.
const FORMAT: u32 = 0o170_000;
pub(super) const FORMATS: [u32; 4] = [0, 0o100_000, 0o010_000, 0o140_000];

/// What happens to one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Allow,
    Errno(i32),
    /// Only without flags that make namespaces.
    Clone,
    Socket,
    Personality,
    Ioctl,
    /// Only plain files, pipes and sockets; the mode is in this argument.
    Mknod(u32),
}

/// The filter program; at most 4,096 instructions are taken by the kernel, this has a few hundred.
#[must_use]
pub fn program() -> Vec<Instruction> {
    let errno = |number: i32| ERRNO | u32::try_from(number).unwrap_or(1);
    let mut code =
        vec![load(ARCH), jump(JMP_JEQ, THIS_ARCH, 1, 0), ret(errno(libc::ENOSYS)), load(NUMBER)];
    code.extend(search(&intervals()));
    code
}

/// Every number's rule as sorted starts of intervals: (first number, rule until the next).
fn intervals() -> Vec<(u32, Rule)> {
    let newest = number(NEWEST_KNOWN);
    let mut rules = vec![Rule::Errno(libc::EPERM); newest as usize + 1];
    for (_, call) in ALLOWED.iter().chain(ALLOWED_HERE) {
        rules[number(*call) as usize] = Rule::Allow;
    }
    for (call, rule) in special() {
        rules[number(call) as usize] = rule;
    }
    let mut intervals: Vec<(u32, Rule)> = Vec::new();
    for (call, rule) in (0..).zip(rules) {
        if intervals.last().is_none_or(|(_, before)| *before != rule) {
            intervals.push((call, rule));
        }
    }
    // Newer calls, and on x86-64 the calls of the x32 ABI, which have bit 30 set.
    intervals.push((newest + 1, Rule::Errno(libc::ENOSYS)));
    intervals
}

fn special() -> Vec<(libc::c_long, Rule)> {
    vec![
        (libc::SYS_clone, Rule::Clone),
        // Its flags lie in memory, which a filter cannot read; callers fall back to clone(2).
        (libc::SYS_clone3, Rule::Errno(libc::ENOSYS)),
        (libc::SYS_socket, Rule::Socket),
        (libc::SYS_personality, Rule::Personality),
        (libc::SYS_ioctl, Rule::Ioctl),
        (libc::SYS_mknodat, Rule::Mknod(2)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, Rule::Mknod(1)),
    ]
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(0)
}

/// A binary search over the intervals, then the rule.
fn search(intervals: &[(u32, Rule)]) -> Vec<Instruction> {
    let middle = intervals.len() / 2;
    if middle == 0 {
        return intervals.first().map_or_else(Vec::new, |(_, rule)| decide(*rule));
    }
    let below = search(&intervals[..middle]);
    let above = search(&intervals[middle..]);
    let from = intervals[middle].0;
    let far = u32::try_from(below.len()).unwrap_or(u32::MAX);
    let mut code = match u8::try_from(far) {
        Ok(near) => vec![jump(JMP_JGE, from, near, 0)],
        Err(_) => vec![jump(JMP_JGE, from, 0, 1), jump(JMP_JA, far, 0, 0)],
    };
    code.extend(below);
    code.extend(above);
    code
}

fn decide(rule: Rule) -> Vec<Instruction> {
    let errno = |number: i32| ret(ERRNO | u32::try_from(number).unwrap_or(1));
    match rule {
        Rule::Allow => vec![ret(ALLOW)],
        Rule::Errno(number) => vec![errno(number)],
        Rule::Clone => vec![
            load(argument(0)),
            jump(JMP_JSET, NAMESPACE_FLAGS, 1, 0),
            ret(ALLOW),
            errno(libc::EPERM),
        ],
        Rule::Socket => {
            let mut code = vec![load(argument(0))];
            code.extend(one_of(&FAMILIES, 4));
            code.extend([
                jump(JMP_JEQ, AF_NETLINK, 0, 2),
                load(argument(2)),
                jump(JMP_JEQ, NETLINK_ROUTE, 1, 0),
                errno(libc::EAFNOSUPPORT),
                ret(ALLOW),
            ]);
            code
        }
        Rule::Personality => {
            let mut code = vec![load(argument(0))];
            code.extend(one_of(&PERSONALITIES, 1));
            code.extend([errno(libc::EPERM), ret(ALLOW)]);
            code
        }
        Rule::Ioctl => {
            let mut code = vec![load(argument(1))];
            code.extend(one_of(&IOCTLS_DENIED, 1));
            code.extend([ret(ALLOW), errno(libc::EPERM)]);
            code
        }
        Rule::Mknod(mode) => {
            let mut code = vec![load(argument(mode)), and(FORMAT)];
            code.extend(one_of(&FORMATS, 1));
            code.extend([errno(libc::EPERM), ret(ALLOW)]);
            code
        }
    }
}

/// Jumps over the rest of these and `past` more instructions when the value is one of them.
fn one_of(values: &[u32], past: u8) -> Vec<Instruction> {
    let left = (0..values.len()).rev().map(|left| u8::try_from(left).unwrap_or(u8::MAX));
    let jumps = values.iter().zip(left);
    jumps.map(|(value, left)| jump(JMP_JEQ, *value, left + past, 0)).collect()
}

/// BPF_ALU | BPF_AND | BPF_K.
pub(super) const ALU_AND: u16 = 0x54;

fn and(k: u32) -> Instruction {
    Instruction { code: ALU_AND, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> Instruction {
    Instruction { code: LD_W_ABS, jt: 0, jf: 0, k: offset }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn ret(k: u32) -> Instruction {
    Instruction { code: RET, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests;
