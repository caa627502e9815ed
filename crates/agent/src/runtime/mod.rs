//! Running containers: what to run, what became of it, and the trait the agent drives.
//!
//! A container's life is create (which also starts it), signal or stop, exit, delete. Every
//! container has a bundle directory below the runtime's state directory (a tmpfs) and a shim
//! process that outlives the agent; `list` finds both again after a restart.
//!
//! This module must not decide *whether* to run, restart or stop something: that is the agent's
//! reconciliation. It must not call libcontainer either: that happens only in the shim's forked
//! child.

mod calls;
mod check;
mod container_id;
mod error;
mod host;
mod limits;
pub(crate) mod oci;
pub mod seccomp;
mod signal;
mod spec;
mod status;

pub use calls::Runtime;
pub use container_id::{ContainerId, ContainerIdError};
pub use error::RuntimeError;
pub use host::{HostRuntime, RuntimeOptions, ShimCommand};
pub use limits::{CpuLimits, Limits};
pub use signal::{Signal, SignalError};
pub use spec::{
    Bind, Capability, ContainerSpec, DriverKind, IdRange, LogOptions, NetworkNamespace, Scratch,
    SeccompProfile, WhenSlow, WritableTmpfs,
};
pub use status::{BoottimeMs, Exit, ExitCause, Phase, Started, Stats, Status, StopReason};
