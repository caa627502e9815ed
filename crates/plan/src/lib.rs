//! Freehold's decisions, all of them pure: what runs where, how a release is rolled out and back,
//! when a dead instance starts again, which addresses are used, which tables follow from it.
//!
//! Everything is a function of values and a given time. There is no clock, no input or output and
//! no randomness of its own in here, so that a dry run, a test and a simulation run the very code
//! that runs in production. Entry points:
//!
//! * [`reconcile::reconcile`]: a snapshot of the cluster → one-host writes, deployments' new
//!   phases,
//!   a typed report of why, and when to look again;
//! * [`lint::lint`]: an independent check of every plan before it is written;
//! * [`tables`]: the network and ingress tables that follow from a snapshot;
//! * [`acknowledge::Tracker`]: who has which table, and so who is in and who is out of service;
//! * [`liveness`]: who is dead, who observes whom, and safe mode;
//! * [`alone`]: whom a host sends nothing to while no server can decide;
//! * [`singleton`]: who of a singleton's instances may run, and when none can any more;
//! * [`standby`]: which hosts have which images ahead of need, and who gives them to whom;
//! * [`vip`]: who of an address's candidates holds it;
//! * [`instance`]: one instance on its host, from preparation to removal.

pub mod acknowledge;
pub mod address;
pub mod alone;
pub mod instance;
pub mod lint;
pub mod liveness;
pub mod place;
pub mod reconcile;
pub mod report;
pub mod restart;
pub mod rollout;
pub mod singleton;
pub mod snapshot;
pub mod standby;
pub mod tables;
pub mod vip;
