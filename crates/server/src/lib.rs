//! The control plane: the HTTP API, the controllers and the image registry of one server.
//!
//! * [`core`] holds what the server knows and the operations on it;
//! * [`control`] runs the controllers, which decide by way of `plan`;
//! * [`copies`] keeps images on two servers;
//! * [`link`] is the servers' end of the agents' streams;
//! * [`peer`] is what servers say to each other;
//! * [`engine`] is the supervised etcd;
//! * [`oci`] is the embedded image registry;
//! * [`http`] is the API that users and agents see.

pub mod access;
mod authority;
mod certificate;
pub mod control;
pub mod copies;
pub mod core;
pub mod engine;
mod given;
pub mod http;
pub mod link;
pub mod oci;
pub mod peer;
pub mod restore;
mod run;
mod source;
mod state;
mod trust;

pub use given::{EtcdFiles, Given};
pub use run::{Options, RunError, run};
pub use state::{State, Supervised};
pub use trust::Trust;
