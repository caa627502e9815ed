//! What the agent keeps on its disk so that it starts and serves with no server in reach: the last
//! documents it was given and its last report, sealed.
//!
//! Knows nothing of what the documents mean.

mod directory;
mod keeper;
mod vault;

pub(crate) use directory::make_private;
pub use directory::{DataDirectory, DirectoryError};
pub use keeper::{Json, Keeper, Shelf};
pub use vault::{Vault, VaultError};
