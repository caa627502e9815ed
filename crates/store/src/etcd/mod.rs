//! The store on etcd (v3 API, 3.4 or later): for clusters of several servers.
//!
//! All keys stand under one prefix: `d/` what users of the trait see, `m/` what the backend keeps
//! for itself (the identity). One watch on that prefix feeds every watch of the process and heals
//! itself; each operation has its own time-out and goes to another member when one does not answer.
//! [`EtcdAdmin`] is what the supervision of members needs. Nothing here starts a process.

mod admin;
mod compacted;
mod convert;
mod endpoints;
mod failure;
mod keyspace;
mod options;
mod pages;
mod replay;
mod store;
mod stream;
mod upstream;

pub use admin::{EtcdAdmin, Member, MemberStatus};
pub use options::{EtcdOptions, EtcdTls};
pub use store::EtcdStore;
