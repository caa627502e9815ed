//! Images of the cluster's registry on several servers.
//!
//! Which images there are and what tags mean is in the store, so that all servers agree (decision
//! 0010). Content is on the servers' disks: a push is answered when two servers in different
//! failure domains have it, where there are two; the leader sees to it that what deployments name
//! stays on two ([`Repair`]); every server follows the records ([`Follow`]) and fetches from the
//! others what it lacks when somebody wants it.

mod cluster;
mod domains;
mod follow;
mod peers;
mod repair;
mod serve;

pub use cluster::Shared;
pub use follow::Follow;
pub use repair::Repair;
pub use serve::router;
