//! The manifest: what a developer writes about an app in `freehold.toml`, and the [`Spec`] it comes
//! to in one environment.
//!
//! [`Manifest`] is the document as written, with its overrides; a release keeps it whole.
//! [`Manifest::resolve`] lays `[on.ENVIRONMENT.…]` over the base key by key, fills in the defaults
//! and gives the [`Spec`] that planner, agent and ingress read. Whatever is wrong is said at once,
//! each [`Problem`] with its path and, for a TOML text, its place. Nothing here reads files, and
//! nothing here knows which apps, secrets or environments exist.

mod check;
mod decode;
mod document;
mod environment;
mod health;
mod later;
mod problem;
mod process;
mod resources;
mod rollout;
mod routes;
mod schema;
mod spec;
mod tree;
mod value;
mod word;

pub use document::{MAX_ENVIRONMENTS, MAX_SOURCE, Manifest};
pub use environment::EnvironmentValue;
pub use health::{Health, HealthCheck};
pub use later::{File, Job, Metrics, Uses};
pub use problem::{MAX_PROBLEMS, ManifestErrors, Problem};
pub use process::{Capability, Process, Protocol, StopSignal};
pub use resources::{Resources, Scale};
pub use rollout::{DomainLevel, Priority, Rollout, Spread};
pub use routes::{RouteHost, Routes};
pub use schema::schema;
pub use spec::Spec;
