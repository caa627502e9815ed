//! A whole cluster in one process, under virtual time, broken by faults that a seed decides.
//!
//! What decides is production's own: the servers' core, controllers, leadership and streams, the
//! agents' converger, dispatcher, prober and link. Each server and agent is a node with a tokio
//! runtime of its own whose clock is paused; [`run()`] moves all of them through time in small
//! steps. What they stand on is hollow: a network of links instead of sockets, one store in memory
//! behind a link of each server, containers that only pretend.
//!
//! * [`world`] is the event queue and the loop, [`links`] and [`lanes`] the network, [`pipe`] and
//!   [`wire`] its ends in nodes, [`far_store`] the servers' way to the store;
//! * [`node`] is one runtime, [`server`] and [`host`] what runs in it, [`machine`] its containers;
//! * [`fault`] breaks things, [`workload`] asks for deployments;
//! * [`check`] looks at every change, [`trace`] tells what happened;
//! * [`planted`] puts known bugs in, so that the checks can be checked.
//!
//! Nothing here reads a real clock or draws from anything but the seed; the process that runs a
//! seed must see to it that the system's randomness follows from the seed too.

mod check;
mod far_store;
mod fault;
mod host;
mod lanes;
mod life;
mod links;
mod machine;
mod node;
mod pipe;
mod place;
mod planted;
mod random;
mod run;
mod server;
mod shape;
mod store_node;
mod trace;
mod wire;
mod workload;
mod world;

pub use planted::Planted;
pub use run::{Outcome, Settings, run};
