//! The registry over HTTP: which endpoint, who asks, may they; then the endpoint's own file.
//!
//! Bodies come and go in bounded pieces. Nothing is decided here that the Rust interface would
//! decide otherwise.

mod answer;
mod blobs;
mod body;
mod login;
mod manifests;
mod service;
mod tags;
mod uploads;

pub(crate) use body::outgoing as body_of;
use service::{CONTENT_DIGEST, Call, Service};
