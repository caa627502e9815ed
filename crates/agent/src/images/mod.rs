//! Images on this host: fetched, checked, unpacked once and shared by all instances.
//!
//! [`Images::ensure`] makes an image ready to run: its manifest and configuration by digest, then
//! the layers that are missing, straight from the network into the layer store; from other hosts
//! that have them ([`Neighbours`]) before the registry. Where other hosts may ask this one
//! ([`Giver`]), blobs are kept as they came. What no instance uses is removed after a while.

mod auth;
mod collect;
mod fetch;
mod give;
mod held;
mod keep;
mod neighbours;
mod origin;
mod pipe;
mod registry;
mod transport;

pub use auth::{Challenge, parse_challenge};
pub use collect::{Pressure, Usage, disposable};
pub use fetch::{Images, ImagesError};
pub use give::{Askers, Giver};
pub use neighbours::Neighbours;
pub use origin::{Origin, OriginError, Origins};
pub use registry::RegistryError;
pub use transport::TransportError;
