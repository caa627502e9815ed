//! Control groups of containers: which hierarchies this host has, what a container used, ending and
//! removing it.
//!
//! Setting limits is the container driver's work (it gets them in the OCI spec); nothing here
//! decides.

mod handle;
mod layout;
mod parse;

pub(crate) use handle::oom_kills;
pub use handle::{Cgroup, CgroupError};
pub use layout::{Controller, Layout, LayoutError, Mode};
