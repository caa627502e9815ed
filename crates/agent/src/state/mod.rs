//! What the agent keeps on its disk so that it starts and serves with no server in reach: the last
//! documents it was given and its last report, sealed.
//!
//! Knows nothing of what the documents mean.

mod directory;
mod vault;

pub use directory::{DataDirectory, DirectoryError};
pub use vault::{Vault, VaultError};
