//! A container's root: a read-only overlay on idmapped clones of its layers, with mount points for
//! whatever is mounted inside, and names of users resolved in it.
//!
//! Runs in the shim's forked child, in a mount namespace of its own, so nothing here is ever to be
//! unmounted: it all goes with the namespace. Must not trust anything found in an image: every path
//! is resolved inside the root.

mod idmap;
mod mounts;
mod overlay;
mod scratch;
mod skeleton;
mod sys;
mod user;

pub use overlay::{LowersBy, Root, RootError};
pub use skeleton::{Kind, Node, SkeletonError, Target, plan as plan_skeleton};
pub use user::{ResolvedUser, UserError, resolve as resolve_user};

pub(crate) use mounts::{mount_all, targets};
