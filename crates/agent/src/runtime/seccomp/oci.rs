//! The allow-list in the words of an OCI spec, for drivers that build their own filter.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::filter::{FAMILIES, IOCTLS_DENIED, NAMESPACE_FLAGS, PERSONALITIES};
use super::table::{ALLOWED, ALLOWED_HERE};

/// The profile. It says what the program says, except that calls unknown to the list get EPERM: OCI
/// has no words for "newer than".
pub(crate) fn oci_profile() -> Result<LinuxSeccomp, oci_spec::OciSpecError> {
    let names = ALLOWED.iter().chain(ALLOWED_HERE).map(|(name, _)| (*name).to_owned()).collect();
    let mut calls = vec![allow(names, Vec::new())?];
    let flags = u64::from(NAMESPACE_FLAGS);
    let without = arg(0, flags, Some(0), LinuxSeccompOperator::ScmpCmpMaskedEq)?;
    calls.push(allow(vec!["clone".into()], vec![without])?);
    calls.push(
        LinuxSyscallBuilder::default()
            .names(vec!["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(u32::try_from(libc::ENOSYS).unwrap_or(38))
            .build()?,
    );
    let equal = LinuxSeccompOperator::ScmpCmpEq;
    for family in FAMILIES {
        calls.push(allow(vec!["socket".into()], vec![arg(0, family.into(), None, equal)?])?);
    }
    let route = vec![arg(0, 16, None, equal)?, arg(2, 0, None, equal)?];
    calls.push(allow(vec!["socket".into()], route)?);
    for one in PERSONALITIES {
        calls.push(allow(vec!["personality".into()], vec![arg(0, one.into(), None, equal)?])?);
    }
    let [first, second] = IOCTLS_DENIED.map(u64::from);
    // Two conditions on one argument would be taken as alternatives: cut the range in three
    // instead.
    let less = arg(1, first, None, LinuxSeccompOperator::ScmpCmpLt)?;
    let more = arg(1, second, None, LinuxSeccompOperator::ScmpCmpGt)?;
    calls.push(allow(vec!["ioctl".into()], vec![less])?);
    calls.push(allow(vec!["ioctl".into()], vec![more])?);
    for request in first + 1..second {
        calls.push(allow(vec!["ioctl".into()], vec![arg(1, request, None, equal)?])?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(1u32)
        .syscalls(calls)
        .build()
}

fn allow(
    names: Vec<String>,
    args: Vec<LinuxSeccompArg>,
) -> Result<LinuxSyscall, oci_spec::OciSpecError> {
    let builder =
        LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    if args.is_empty() { builder.build() } else { builder.args(args).build() }
}

fn arg(
    index: usize,
    value: u64,
    second: Option<u64>,
    op: LinuxSeccompOperator,
) -> Result<LinuxSeccompArg, oci_spec::OciSpecError> {
    let builder = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
    match second {
        Some(second) => builder.value_two(second).build(),
        None => builder.build(),
    }
}
