//! The output of instances, live and after their death: read for whoever asks, and thrown away in
//! time.
//!
//! Files are written and rotated by the shim; nothing is written here.

mod collect;
mod read;

pub use collect::{Kept, disposable, sweep};
pub use read::{line_of, stream};
