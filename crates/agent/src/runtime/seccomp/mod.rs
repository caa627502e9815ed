//! Which system calls a container may make: an allow-list, as a filter program and in OCI's words.
//!
//! The program is built here rather than by libseccomp in each starting container: it is a few
//! hundred instructions that never change, and building it there would cost more than the rest of
//! the start.

mod filter;
mod oci;
mod table;

pub use filter::{Instruction, program};
pub(crate) use oci::oci_profile;
