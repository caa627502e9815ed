//! What can go wrong with a lab as a whole.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::plan::PlanError;
use crate::target::TargetError;

/// Why something could not be done with a lab.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// What was asked for is no plan.
    #[error("plan the lab")]
    Plan(#[from] PlanError),
    /// What was named is not there.
    #[error("find what was named in the lab")]
    Target(#[from] TargetError),
    /// There is no lab, or one in the way.
    #[error("{doing} the lab in {}: {why}", directory.display())]
    Directory {
        /// What we tried.
        doing: &'static str,
        /// Where.
        directory: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// Somebody else works on the lab.
    #[error("take the lab in {}: another command works on it", .0.display())]
    Busy(PathBuf),
    /// A file of the lab.
    #[error("{doing} {}", path.display())]
    File {
        /// What we tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of the lab holds something else than expected.
    #[error("read {}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A call to the system.
    #[error("{doing}")]
    System {
        /// What we tried, with its subject.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program we need refused.
    #[error("run {program}: {complaint}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it wrote, shortened.
        complaint: String,
    },
    /// The lab's namespace.
    #[error("use the lab's network")]
    Namespace(#[from] net::namespace::NamespaceError),
    /// The packet filter that cuts links.
    #[error("change what passes between machines")]
    Filter(#[from] net::nft::NftError),
    /// Control groups.
    #[error("use the lab's cgroups")]
    Layout(#[from] agent::cgroup::LayoutError),
    /// Control groups.
    #[error("use the lab's cgroups")]
    Cgroup(#[from] agent::cgroup::CgroupError),
    /// The cluster's authority.
    #[error("make the lab's authority")]
    Authority(#[from] pki::CaError),
    /// Certificates on disk.
    #[error("write the lab's certificates")]
    Certificate(#[from] pki::FileError),
    /// Several servers need it.
    #[error("find the etcd program for servers: it is nowhere in the path")]
    NoEtcd,
    /// A machine is not running.
    #[error("reach machine {0}: it is not running")]
    NotRunning(String),
    /// A machine did not start.
    #[error("start machine {machine}: {why}")]
    NotStarted {
        /// Which.
        machine: String,
        /// What is known.
        why: String,
    },
}

impl LabError {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path: path.clone(), source }
    }

    pub(crate) fn system(doing: impl Into<String>) -> impl Fn(rustix::io::Errno) -> Self {
        let doing = doing.into();
        move |errno| Self::System { doing: doing.clone(), source: errno.into() }
    }
}
