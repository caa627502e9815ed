//! A whole cluster on one machine: each machine of a [`Plan`] is a small init in namespaces of its
//! own, with the real servers and agents below it, a disk, and a cgroup whose limits are its
//! capacity. Machines die as by power loss, and links between them are cut or lossy.
//!
//! Nothing supervises a lab: it is a directory, a network namespace bound to a file in it, and
//! cgroups named after it, so that [`down`] finds all of it whatever was killed before. There is no
//! route out of the namespace. The lab must not know how a cluster decides anything: it starts
//! processes and breaks things.

mod certificates;
mod cgroup;
mod delay;
mod directory;
mod door;
mod down;
mod enter;
mod failure;
mod fault;
mod init;
mod kill;
mod machine;
mod network;
mod packet;
mod plan;
mod process;
mod role;
mod running;
pub mod sim;
mod status;
mod target;
mod up;

pub use delay::{delay_links, relay};
pub use directory::{DEFAULT_BASE, EtcdAccess, Lab, Lock};
pub use door::{Door, serve as serve_door};
pub use down::down;
pub use enter::{enter, run_outside};
pub use failure::LabError;
pub use fault::{Delay, End, Faults, Link, Loss};
pub use init::{first, outer};
pub use kill::{Silence, freeze, kill, restart, thaw};
pub use network::break_links;
pub use plan::{Limits, Machine, Member, Plan, PlanError, Role, Shape};
pub use running::Running;
pub use status::{MachineStatus, State, status};
pub use target::{Target, TargetError};
pub use up::{migrate, set_clock, up};
