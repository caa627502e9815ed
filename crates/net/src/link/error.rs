//! What can go wrong with links.

use std::net::Ipv4Addr;

use thiserror::Error;

use crate::NetlinkError;
use crate::namespace::NamespaceError;
use crate::sysctl::SysctlError;

/// Bringing links to the wanted state failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The kernel refused over netlink.
    #[error("configuring links")]
    Netlink(#[from] NetlinkError),
    /// A namespace could not be made, entered or removed.
    #[error("working with an instance's namespace")]
    Namespace(#[from] NamespaceError),
    /// A kernel setting could not be made.
    #[error("setting up a bridge")]
    Sysctl(#[from] SysctlError),
    /// A link with the bridge's name is something else.
    #[error("ensuring bridge {name}: a link of that name is a {kind}")]
    NotABridge {
        /// The name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// Instances cannot be attached without the bridge.
    #[error("attaching {address}: there is no bridge {bridge}")]
    NoBridge {
        /// The bridge's name.
        bridge: String,
        /// The instance's address.
        address: Ipv4Addr,
    },
    /// The host's end of a link did not start.
    #[error("attaching {address}: its link does not start")]
    NotRunning {
        /// The instance's address.
        address: Ipv4Addr,
    },
    /// A link vanished while it was being configured.
    #[error("attaching {address}: its link vanished meanwhile")]
    Vanished {
        /// The instance's address.
        address: Ipv4Addr,
    },
}
