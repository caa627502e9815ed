//! The typed HTTP client: one method for each endpoint of the API, and the raw calls of the image
//! registry that pushing and pulling need.
//!
//! A [`Client`] knows every server and goes to the next one when one does not answer. It repeats
//! only what is safe to repeat, and sends the highest revision it has seen, so that it always reads
//! its own writes. It must not render anything and must not read configuration: its caller says
//! where the cluster is.

mod address;
mod call;
mod connect;
mod error;
mod lines;
mod log;
mod method;
mod registry;
mod sse;
mod watch;

pub use address::{Address, DEFAULT_PORT, MalformedAddress};
pub use call::{Client, Config};
pub use error::{ClientError, Unreached};
pub use log::LogStream;
pub use method::{Collected, EventQuery, Whoami};
pub use registry::{Manifest, Registry};
pub use watch::{Change, Object, Watch};
