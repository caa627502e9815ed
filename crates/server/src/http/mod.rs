//! The API that users and agents see: HTTPS, JSON, server-sent events.
//!
//! * `table` is the one list of endpoints: path, who may, what comes in, what goes out, and the
//!   handler, all in one call, so that router, roles and the OpenAPI document can't drift apart;
//! * `endpoint` turns an entry of it into a route: who asks, may they, what do they ask, answer;
//! * one file for each kind holds its handlers, which only translate: deciding is the core's;
//! * `watch` tells changes; `listen` owns sockets, TLS and connections.
//!
//! Nothing here writes to the store and nothing keeps state between requests.

mod answer;
mod apps;
mod backup;
mod bind;
mod certificates;
mod cluster;
mod document;
mod endpoint;
mod environments;
mod gives;
mod hosts;
mod images;
mod join;
mod listen;
mod logs;
mod registries;
mod roles;
mod router;
mod secrets;
mod shadow;
mod table;
mod takes;
mod teams;
mod tokens;
mod vips;
mod watch;

pub use bind::bind;
pub use document::openapi;
pub use listen::{Serving, serve};
