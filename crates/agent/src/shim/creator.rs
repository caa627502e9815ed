//! Creating one container; runs in the shim's forked child, which then exits.
//!
//! It works in a mount namespace of its own: the container's root and everything mounted in it
//! exist only there and in the container's own copy, so nothing is ever left to be unmounted.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::Spec;
use rustix::fs::{Gid, Uid};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::payload::Payload;
use super::{runc, sys};
use crate::cgroup::{Controller, Layout, LayoutError, Mode};
use crate::rootfs::{self, ResolvedUser, Root, RootError, UserError};
use crate::runtime::oci::{Surroundings, oci_spec};
use crate::runtime::{ContainerSpec, DriverKind, NetworkNamespace, seccomp};

/// Longest passwd or group file of an image that is read.
const MAX_NAMES_FILE: u64 = 1 << 20;

/// What the creating child tells the shim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The command has been executed.
    Created {
        /// The container's first process.
        pid: i32,
        /// Limits this host cannot enforce.
        unenforced: Vec<String>,
    },
    /// It could not be done.
    Failed {
        /// What and why, in one line.
        what: String,
        /// Whether trying again could help.
        retryable: bool,
    },
}

/// What the agent asked for: the spec and how to make it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The container.
    pub(crate) spec: ContainerSpec,
    /// Who makes it.
    pub(crate) driver: DriverKind,
    /// Its cgroup, from the root of every hierarchy.
    pub(crate) cgroup: PathBuf,
}

/// The container's ends of what the shim holds.
pub(super) struct Ends {
    /// Its standard output.
    pub(super) stdout: OwnedFd,
    /// Its standard error.
    pub(super) stderr: OwnedFd,
    /// Where our init tells how the command ended.
    pub(super) status: OwnedFd,
}

/// Why a container could not be created.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    /// A file or call failed.
    #[error("{what} {path}")]
    Io {
        /// What we tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The root could not be mounted.
    #[error("mounting the container's root")]
    Root(#[from] RootError),
    /// The user does not exist.
    #[error("finding the user to run as")]
    User(#[from] UserError),
    /// The host cannot enforce limits.
    #[error("looking at control groups")]
    Cgroups(#[from] LayoutError),
    /// The spec could not be put into OCI's words.
    #[error("writing the OCI spec")]
    Oci(#[from] oci_spec::OciSpecError),
    /// The library refused or failed.
    #[error("{what}")]
    Library {
        /// What we tried.
        what: &'static str,
        /// Its words.
        #[source]
        source: Box<LibcontainerError>,
    },
    /// A driver command failed.
    #[error("{what}: {words}")]
    Driver {
        /// What we tried.
        what: &'static str,
        /// Its words.
        words: String,
    },
    /// The command could not be executed.
    #[error("executing {path}{}", hint(source))]
    Exec {
        /// The command.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What people stumble over.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => " (not in the image, or its interpreter is not)",
        Some(libc::EACCES) => " (not executable for this user)",
        Some(libc::ENOEXEC) => " (no program for this machine, or a script without #!)",
        _ => "",
    }
}

impl CreateError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether the same may work later: not when the image or the spec is wrong.
    fn retryable(&self) -> bool {
        match self {
            Self::User(_) | Self::Exec { .. } | Self::Oci(_) => false,
            Self::Root(RootError::Skeleton(_) | RootError::TooManyLayers(_)) => false,
            Self::Io { .. } | Self::Root(_) | Self::Cgroups(_) => true,
            Self::Library { .. } | Self::Driver { .. } => true,
        }
    }

    pub(super) fn report(&self) -> Report {
        let mut what = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Transparent errors say the same twice.
            if !what.ends_with(&text) {
                what.push_str(": ");
                what.push_str(&text);
            }
            cause = error.source();
        }
        Report::Failed { what, retryable: self.retryable() }
    }
}

/// Creates and starts the container ordered in a bundle; returns once its command is executed.
pub(super) fn create(bundle: &Path, ends: Ends) -> Result<Report, CreateError> {
    let order_file = bundle.join(super::record::SPEC);
    let order: Order = super::record::read_json(&order_file)
        .map_err(|source| CreateError::io("reading", &order_file, source))?;
    let spec = &order.spec;
    let layout = Layout::of_this_host()?;
    let mut unenforced = Vec::new();
    enter_namespaces(&spec.network)?;
    let targets = rootfs::targets(spec)
        .map_err(|source| CreateError::io("looking at what is mounted in", bundle, source))?;
    let root = Root::mount(bundle, &spec.layers, spec.id_range, &targets)?;
    let user = find_user(&root, spec)?;
    rootfs::mount_all(&root, spec, &user, &mut unenforced)?;
    // A program may open /dev/stdout anew, for which the pipe must be its own.
    for end in [&ends.stdout, &ends.stderr] {
        let uid = Uid::from_raw(spec.id_range.base + user.uid);
        let gid = Gid::from_raw(spec.id_range.base + user.gid);
        rustix::fs::fchown(end, Some(uid), Some(gid))
            .map_err(|e| CreateError::io("giving the output pipe to", bundle, e.into()))?;
    }
    let around = surroundings(&order, &layout, &root, &mut unenforced);
    let config = oci_spec(spec, &user, &around)?;
    let pid = match order.driver {
        DriverKind::Libcontainer => by_library(bundle, spec, &layout, &around, &config, ends)?,
        DriverKind::Runc => {
            save_config(bundle, &config)?;
            let id = spec.id.as_str();
            runc::create_and_start(bundle, id, ends.stdout.into(), ends.stderr.into())?
        }
    };
    Ok(Report::Created { pid, unenforced })
}

/// A mount namespace for the root, and the container's network, in which all that follows is done.
fn enter_namespaces(network: &NetworkNamespace) -> Result<(), CreateError> {
    let failed = |what, path: &Path, e: io::Error| CreateError::io(what, path, e);
    let root = Path::new("/");
    sys::unshare(UnshareFlags::NEWNS).map_err(|e| failed("leaving the mounts of", root, e))?;
    mount_change(root, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|e| failed("making mounts private below", root, e.into()))?;
    match network {
        NetworkNamespace::Path(path) => {
            let fd =
                fs::File::open(path).map_err(|e| failed("opening network namespace", path, e))?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&fd), kind)
                .map_err(|e| failed("entering network namespace", path, e.into()))?;
        }
        NetworkNamespace::Isolated => {
            let lo = Path::new("lo");
            sys::unshare(UnshareFlags::NEWNET)
                .and_then(|()| sys::loopback_up())
                .map_err(|e| failed("making a network with", lo, e))?;
        }
    }
    // Ports below 1024 need no privilege in here. /proc/sys/net shows the caller's namespace.
    let ports = Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    fs::write(ports, "0").map_err(|e| failed("writing", ports, e))
}

fn find_user(root: &Root, spec: &ContainerSpec) -> Result<ResolvedUser, CreateError> {
    let read = |path: &str| {
        let path = Path::new(path);
        let text = root.read_text(path, MAX_NAMES_FILE);
        text.map_err(|source| CreateError::io("reading the image's", path, source))
    };
    let passwd = read("/etc/passwd")?.unwrap_or_default();
    let group = read("/etc/group")?.unwrap_or_default();
    Ok(rootfs::resolve_user(&spec.user, &passwd, &group, spec.id_range.len)?)
}

fn surroundings(
    order: &Order,
    layout: &Layout,
    root: &Root,
    unenforced: &mut Vec<String>,
) -> Surroundings {
    let memory = layout.controllers.get(&Controller::Memory);
    let counted = |dir: &PathBuf| dir.join("memory.memsw.limit_in_bytes").exists();
    let swap_counted = layout.mode == Mode::V2 || memory.is_some_and(counted);
    if !swap_counted {
        unenforced.push("swap is not counted on this host (swapaccount=0)".to_owned());
    }
    let open_files_max = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    Surroundings {
        rootfs: root.path.clone(),
        cgroup: order.cgroup.clone(),
        swap_counted,
        open_files_max,
        with_seccomp: order.driver == DriverKind::Runc,
    }
}

fn save_config(bundle: &Path, config: &Spec) -> Result<(), CreateError> {
    let path = bundle.join("config.json");
    super::record::write_json(&path, config)
        .map_err(|source| CreateError::io("writing", &path, source))
}

fn by_library(
    bundle: &Path,
    spec: &ContainerSpec,
    layout: &Layout,
    around: &Surroundings,
    config: &Spec,
    ends: Ends,
) -> Result<i32, CreateError> {
    save_config(bundle, config)?;
    let pipe = pipe_with(PipeFlags::CLOEXEC);
    let (exec_rx, exec_tx) =
        pipe.map_err(|e| CreateError::io("making a pipe in", bundle, e.into()))?;
    let payload = Payload {
        init: spec.init,
        deadline: spec.deadline,
        filter: seccomp::program().into(),
        exec_fd: exec_tx.as_raw_fd(),
        status_fd: ends.status.as_raw_fd(),
    };
    let null = fs::File::open("/dev/null")
        .map_err(|source| CreateError::io("opening", Path::new("/dev/null"), source))?;
    let failed = |what| move |e| CreateError::Library { what, source: Box::new(e) };
    let id = spec.id.as_str().to_owned();
    let mut container = ContainerBuilder::new(id, SyscallType::default())
        .with_executor(payload)
        .with_root_path(bundle.join("lib"))
        .map_err(failed("preparing the container"))?
        .with_stdin(null)
        .with_stdout(ends.stdout)
        .with_stderr(ends.stderr)
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(true)
        // Its parent shall be the shim, not this process, which is about to exit.
        .as_sibling(true)
        .build()
        .map_err(failed("creating the container"))?;
    if layout.mode == Mode::V2 {
        super::devices::confine(layout, &around.cgroup)?;
    }
    container.start().map_err(failed("starting the container"))?;
    drop((exec_tx, ends.status));
    executed(exec_rx, bundle)?;
    let pid = container.pid().map(nix_pid);
    pid.ok_or_else(|| {
        CreateError::io("finding the first process of", bundle, io::ErrorKind::NotFound.into())
    })
}

/// Waits for the command's execution: the pipe closes by it, or says why not.
fn executed(pipe: OwnedFd, bundle: &Path) -> Result<(), CreateError> {
    let mut message = Vec::new();
    fs::File::from(pipe)
        .take(8192)
        .read_to_end(&mut message)
        .map_err(|source| CreateError::io("waiting for the command of", bundle, source))?;
    match message.split_first_chunk::<4>() {
        None => Ok(()),
        Some((errno, path)) => Err(CreateError::Exec {
            path: String::from_utf8_lossy(path).into_owned(),
            source: io::Error::from_raw_os_error(i32::from_ne_bytes(*errno)),
        }),
    }
}

fn nix_pid(pid: impl Into<libc::pid_t>) -> i32 {
    pid.into()
}
