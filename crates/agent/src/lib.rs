//! The host side: runtime, shim, images, network, DNS, health, logs.

mod agent;
pub mod cgroup;
pub mod converge;
pub mod dns;
mod failure;
pub mod health;
pub mod images;
pub mod ingress;
pub mod lease;
pub mod link;
pub mod logs;
pub mod network;
pub mod rootfs;
pub mod runtime;
pub mod shim;
pub mod state;
pub mod vip;

pub use agent::{AgentError, DomainCommand, DomainError, Ground, Options, Supply, Ways};
pub use agent::{find_domain, run, run_on};
