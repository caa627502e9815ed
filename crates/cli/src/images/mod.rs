//! Images on this machine and on their way: the local store of the command line, pushing and
//! pulling between it and the cluster's registry.

mod local;
mod pull;
mod push;
mod refer;

pub(crate) use local::{Entry, LocalImages};
pub(crate) use pull::{ensure, pull};
pub(crate) use push::push;
pub(crate) use refer::{InCluster, api_digest, image_digest};
