//! What can go wrong when running containers.

use std::io;
use std::path::PathBuf;

use super::ContainerId;

/// An error of the runtime. The text says what we tried; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No bundle of that id.
    #[error("container {0} does not exist")]
    NotFound(ContainerId),
    /// A bundle of that id is there already.
    #[error("container {0} exists already")]
    Exists(ContainerId),
    /// It has exited, or never started.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// The spec contradicts itself or asks for what is never given.
    #[error("container {id} cannot be made: {what}")]
    Invalid {
        /// Which container.
        id: ContainerId,
        /// What is wrong with the spec.
        what: String,
    },
    /// The shim could not create or start it; the text is the shim's own.
    #[error("container {id} did not start: {what}")]
    DidNotStart {
        /// Which container.
        id: ContainerId,
        /// The shim's words: what failed, with its path, user or limit.
        what: String,
        /// Whether trying again on this host could help (a user's mistake cannot).
        retryable: bool,
    },
    /// The state directory or a part of a bundle cannot be used.
    #[error("{what} {path}")]
    Path {
        /// What we tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The shim does not answer as it should.
    #[error("asking the shim of container {id}")]
    Shim {
        /// Which container.
        id: ContainerId,
        /// Why not.
        #[source]
        source: crate::shim::ClientError,
    },
    /// A cgroup could not be read, emptied or removed.
    #[error("handling the cgroup of container {id}")]
    Cgroup {
        /// Which container.
        id: ContainerId,
        /// Why not.
        #[source]
        source: crate::cgroup::CgroupError,
    },
    /// The host lacks something that containers need.
    #[error("this host cannot run containers: {0}")]
    Host(String),
}

impl RuntimeError {
    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::Exists(_) | Self::NotRunning(_) => false,
            Self::Invalid { .. } | Self::Host(_) => false,
            Self::DidNotStart { retryable, .. } => *retryable,
            Self::Path { .. } | Self::Shim { .. } | Self::Cgroup { .. } => true,
        }
    }
}
