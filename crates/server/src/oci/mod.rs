//! The embedded image registry: the OCI distribution specification, version 1.1, over a directory.
//!
//! ```text
//! content/       blobs and manifests by digest, and unfinished uploads (`image::content`)
//! registry.db    repositories, tags, manifests, their parts, and which blob is in which repository
//! registry.lock  held by the one process that has the registry open
//! ```
//!
//! What is acknowledged is durable: first the content is on disk, then one transaction links it;
//! only then the answer goes out. So a process killed anywhere leaves at worst content that nothing
//! links, which [`Registry::gc`] removes. A blob is seen only in repositories that it was pushed to
//! or mounted into.
//!
//! A registry may be one of several of a cluster ([`Registry::share`]): then which images there are
//! and what tags mean is written down outside, for all of them ([`Cluster`]); the database follows
//! that, and content that is not here is fetched from the others.
//!
//! The registry decides neither who may do what ([`Access`]) nor what must stay ([`InUse`]); it
//! asks. It never holds a blob in memory, and never trusts a digest it has not computed.

mod access;
mod adopt;
mod cluster;
mod collect;
mod delete;
mod endpoint;
mod error;
mod hold;
mod images;
mod metadata;
mod name;
mod options;
mod page;
mod push;
mod range;
mod receive;
mod registry;
mod serve;
mod session;
mod shards;
mod shared;

pub use access::{Access, AccessError, Action, ImageUse, InUse, InUseError, PeerHost, Who};
pub use adopt::Adopted;
pub use cluster::{
    Cluster, ClusterError, Copies, Incoming, Mark, Record, Records, TagRecord, Wanted,
};
pub use collect::GcReport;
pub use error::{Fault, RegistryError};
pub use hold::Hold;
pub use images::{ListedImage, Resolved};
pub use name::{ManifestName, NameError, RepositoryName};
pub use options::Options;
pub use registry::Registry;
pub(crate) use serve::body_of;
