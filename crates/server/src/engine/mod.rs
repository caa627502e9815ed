//! The supervised etcd: a process of its own that outlives the server and is adopted again.
//!
//! * [`Options`] say what the process is given; [`Launch`] how it takes part for the first time;
//! * [`Engine`] keeps the process running and leaves it alone when the server stops;
//! * [`join`] and [`promote`] make it a member of an etcd, [`Upkeep`] keeps that in good order;
//! * [`client()`] is how servers reach it, `Keeper` tells the store of other members.
//!
//! No member is ever removed for being silent, only for one that takes its place.

mod adopt;
mod client;
mod keep;
mod launch;
mod membership;
mod options;
mod states;
mod supervise;
mod trusted;
mod upkeep;

pub use client::{ClientError, Endpoints, client, voters};
pub(crate) use keep::{Keeper, last_seen};
pub use launch::{Launch, LaunchError};
pub use membership::{JoinError, join, promote};
pub use options::{CLIENT_NAME, Options};
pub(crate) use states::States;
pub use supervise::{Engine, EngineError};
pub(crate) use trusted::{start_anew, trusted};
pub use upkeep::Upkeep;
