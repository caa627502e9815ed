//! Freehold's object kinds, typed ids and units, validation, host protocol types and error codes.
//!
//! Everything here is plain data and pure functions: no runtime, sockets, files or clock. Server,
//! agent, command line and tests share these types; JSON on the wire uses the field names as
//! written here, and a field that a reader does not know is kept by the store's documents.

pub mod about;
pub mod app;
pub mod assignment;
pub mod authority;
pub mod certificate;
pub mod deployment;
pub mod digest;
pub mod environment;
pub mod error;
pub mod event;
pub mod frame;
pub mod host;
pub mod id;
pub mod ingress;
pub mod instance;
pub mod join;
pub mod lease;
pub mod liveness;
pub mod manifest;
pub mod network;
pub mod operation;
pub mod protocol;
pub mod registry;
pub mod release;
pub mod secret;
pub mod server;
pub mod status;
pub mod team;
pub mod time;
pub mod token;
pub mod traffic;
pub mod unit;
pub mod vip;
pub mod warm;
