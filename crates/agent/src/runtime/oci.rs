//! A container's spec in the words of the OCI runtime specification. Pure.
//!
//! Everything that is the same for every container (namespaces, masked paths, devices) is here and
//! nowhere else. What is mounted below the root before (`/sys`, writable paths, binds) is not in
//! it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime as oci;
use oci_spec::runtime::{
    LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, LinuxIdMappingBuilder, LinuxMemoryBuilder, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount,
    MountBuilder, PosixRlimitBuilder, PosixRlimitType, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};

use super::limits::CPU_PERIOD_US;
use super::{Capability, ContainerSpec};
use crate::rootfs::ResolvedUser;

/// What a spec needs beyond the container's own: found out where it is made.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Where the root is mounted.
    pub(crate) rootfs: PathBuf,
    /// The cgroup, from the root of its hierarchies.
    pub(crate) cgroup: PathBuf,
    /// Whether swap is counted and so can be turned off.
    pub(crate) swap_counted: bool,
    /// The hard limit of open files of this process, which cannot be raised.
    pub(crate) open_files_max: u64,
    /// Whether the driver builds the system call filter itself.
    pub(crate) with_seccomp: bool,
}

/// Containers go before the host's own services when memory runs out.
const OOM_SCORE_ADJ: i32 = 500;

/// The usual search path, where an image names none.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Shared memory of a container: 64 MiB, what POSIX programs are used to; counted against memory.
const SHM_BYTES: u64 = 64 << 20;

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Devices a container may use, character devices all: null, zero, full, random, urandom, tty,
/// console's ptmx, and every pty of its own.
pub(crate) const DEVICES: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// Builds the spec.
pub(crate) fn oci_spec(
    spec: &ContainerSpec,
    user: &ResolvedUser,
    around: &Surroundings,
) -> Result<Spec, OciSpecError> {
    let root = RootBuilder::default().path(around.rootfs.clone()).readonly(true).build()?;
    SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .hostname(spec.hostname.clone())
        .process(process(spec, user, around)?)
        .mounts(mounts()?)
        .linux(linux(spec, around)?)
        .build()
}

fn process(
    spec: &ContainerSpec,
    user: &ResolvedUser,
    around: &Surroundings,
) -> Result<oci::Process, OciSpecError> {
    let who = UserBuilder::default()
        .uid(user.uid)
        .gid(user.gid)
        .additional_gids(user.groups.clone())
        .build()?;
    let cwd = if spec.working_dir.is_empty() { "/" } else { &spec.working_dir };
    let files = spec.limits.open_files.min(around.open_files_max);
    let limit =
        |kind, value| PosixRlimitBuilder::default().typ(kind).soft(value).hard(value).build();
    ProcessBuilder::default()
        .terminal(false)
        .user(who)
        .args(spec.args.clone())
        .env(environment(spec, user))
        .cwd(cwd)
        .capabilities(capabilities(&spec.capabilities)?)
        .rlimits(vec![
            limit(PosixRlimitType::RlimitNofile, files)?,
            limit(PosixRlimitType::RlimitCore, 0)?,
        ])
        .no_new_privileges(true)
        .oom_score_adj(OOM_SCORE_ADJ)
        .build()
}

/// The environment with what every program may count on. HOME is always given: looking it up later
/// would run the image's own name service code.
pub(crate) fn environment(spec: &ContainerSpec, user: &ResolvedUser) -> Vec<String> {
    let mut env = spec.env.clone();
    let has = |env: &[String], name: &str| env.iter().any(|one| one.starts_with(name));
    if !has(&env, "PATH=") {
        env.push(DEFAULT_PATH.to_owned());
    }
    if !has(&env, "HOME=") || env.iter().any(|one| one == "HOME=") {
        env.retain(|one| one != "HOME=");
        env.push(format!("HOME={}", user.home));
    }
    if !has(&env, "HOSTNAME=") {
        env.push(format!("HOSTNAME={}", spec.hostname));
    }
    env
}

fn capabilities(wanted: &[Capability]) -> Result<oci::LinuxCapabilities, OciSpecError> {
    let set: HashSet<oci::Capability> = wanted.iter().map(|cap| in_oci(*cap)).collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set.clone())
        .inheritable(set.clone())
        .ambient(set)
        .build()
}

fn in_oci(cap: Capability) -> oci::Capability {
    match cap {
        Capability::Chown => oci::Capability::Chown,
        Capability::DacOverride => oci::Capability::DacOverride,
        Capability::Fowner => oci::Capability::Fowner,
        Capability::Fsetid => oci::Capability::Fsetid,
        Capability::Kill => oci::Capability::Kill,
        Capability::NetBindService => oci::Capability::NetBindService,
        Capability::Setgid => oci::Capability::Setgid,
        Capability::Setuid => oci::Capability::Setuid,
    }
}

fn mounts() -> Result<Vec<Mount>, OciSpecError> {
    let mount = |path: &str, kind: &str, options: &[&str]| {
        MountBuilder::default()
            .destination(Path::new(path))
            .typ(kind)
            .source(Path::new(kind))
            .options(options.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
            .build()
    };
    let shm = format!("size={SHM_BYTES}");
    Ok(vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm])?,
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
    ])
}

fn linux(spec: &ContainerSpec, around: &Surroundings) -> Result<oci::Linux, OciSpecError> {
    let namespace = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let map = LinuxIdMappingBuilder::default()
        .container_id(0u32)
        .host_id(spec.id_range.base)
        .size(spec.id_range.len)
        .build()?;
    let owned = |paths: &[&str]| paths.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let linux = LinuxBuilder::default()
        .namespaces(vec![
            namespace(LinuxNamespaceType::User)?,
            namespace(LinuxNamespaceType::Pid)?,
            namespace(LinuxNamespaceType::Mount)?,
            namespace(LinuxNamespaceType::Ipc)?,
            namespace(LinuxNamespaceType::Uts)?,
            namespace(LinuxNamespaceType::Cgroup)?,
        ])
        .uid_mappings(vec![map])
        .gid_mappings(vec![map])
        .cgroups_path(around.cgroup.clone())
        .resources(resources(spec, around)?)
        .masked_paths(owned(&MASKED))
        .readonly_paths(owned(&READ_ONLY))
        .rootfs_propagation("private");
    if around.with_seccomp {
        linux.seccomp(super::seccomp::oci_profile()?).build()
    } else {
        linux.build()
    }
}

fn resources(spec: &ContainerSpec, around: &Surroundings) -> Result<LinuxResources, OciSpecError> {
    let cpu = LinuxCpuBuilder::default().shares(spec.limits.cpu.shares());
    let cpu = match spec.limits.cpu.quota_us() {
        Some(quota) => cpu.quota(quota).period(CPU_PERIOD_US).build()?,
        None => cpu.build()?,
    };
    let limit = i64::try_from(spec.limits.memory_bytes).unwrap_or(i64::MAX);
    let memory = LinuxMemoryBuilder::default().limit(limit);
    // In OCI's words swap is memory and swap together: as much as the limit means none.
    let memory = if around.swap_counted { memory.swap(limit) } else { memory };
    let mut devices = vec![LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?];
    for (major, minor) in DEVICES {
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(major)
            .access("rw");
        devices.push(match minor {
            Some(minor) => rule.minor(minor).build()?,
            None => rule.build()?,
        });
    }
    LinuxResourcesBuilder::default()
        .cpu(cpu)
        .memory(memory.build()?)
        .pids(LinuxPidsBuilder::default().limit(i64::from(spec.limits.pids)).build()?)
        .devices(devices)
        .build()
}
