//! The core of a server: the store's documents as a view in memory, the agents' streams, and the
//! operations that the API offers on them. HTTP is elsewhere; deciding is `plan`'s.

mod access;
mod admit;
mod agents;
mod cache;
mod change;
mod deploy;
mod events;
mod hosts;
mod image;
mod invite;
mod join;
mod kind;
mod lead;
mod logs;
mod objects;
mod pipeline;
mod sealed;
mod show;
mod snapshot;
mod state;
mod view;
mod workload;

pub use access::Caller;
pub use agents::{Agents, StreamEnd};
pub use cache::Cache;
pub use change::{Change, CommitError, store_error};

pub use events::{EventQueue, Events};
pub(crate) use events::{forget as forget_events, write as write_events};
pub use image::{Found, Held, ImageSource, Resolver};
pub use kind::{
    Kind, ServiceAddress, StoredCertificate, StoredEvent, StoredJoinToken, StoredMember,
    StoredRegistry, StoredSecret, StoredToken, member_name, place_name, release_name, secret_name,
};
pub use lead::Term;
pub use logs::LogLines;
pub(crate) use pipeline::phase_name;
pub use snapshot::{Planning, SpecKey, Specs};
pub use state::{Core, now};
pub use view::{Listed, Row, Table, View};
