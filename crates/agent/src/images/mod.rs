//! Images on this host: fetched, checked, unpacked once and shared by all instances.
//!
//! [`Images::ensure`] makes an image ready to run: its manifest and configuration by digest, then
//! the layers that are missing, straight from the network into the layer store. Blobs themselves
//! are never kept. What no instance uses is removed after a while.

mod auth;
mod collect;
mod fetch;
mod origin;
mod pipe;
mod registry;
mod transport;

pub use auth::{Challenge, parse_challenge};
pub use collect::{Pressure, Usage, disposable};
pub use fetch::{Images, ImagesError};
pub use origin::{Origin, OriginError, Origins};
pub use registry::RegistryError;
pub use transport::TransportError;
