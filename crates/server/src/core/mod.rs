//! The core of a server: the store's documents as a view in memory, the agents' streams, and the
//! operations that the API offers on them. HTTP is elsewhere; deciding is `plan`'s.

mod about;
mod access;
mod admit;
mod agents;
mod cache;
mod change;
mod deploy;
mod doctor;
mod events;
mod gathered;
mod hosts;
mod image;
mod invite;
mod join;
mod kind;
mod lead;
mod leases;
mod logs;
mod objects;
mod pipeline;
mod probes;
mod published;
mod refusals;
mod remove;
mod safe_mode;
mod sealed;
mod servers;
mod show;
mod snapshot;
mod state;
mod view;
mod vips;
mod words;
mod workload;

pub use access::Caller;
pub use agents::{Agents, Sent, StreamEnd};
pub use cache::Cache;
pub use change::{Change, CommitError, store_error};

pub use doctor::Gleaned;
pub(crate) use events::forget as forget_events;
pub use events::write as write_events;
pub use events::{EventQueue, Events};
pub use gathered::{Gathered, Heard, HeardServer};
pub use image::{Found, Held, ImageSource, Resolver};
pub use kind::{
    Kind, ServiceAddress, StoredAbout, StoredAcceptance, StoredAuthority, StoredCertificate,
    StoredEvent, StoredImage, StoredJoinToken, StoredMember, StoredRegistry, StoredSecret,
    StoredSuccessor, StoredTag, StoredToken, StoredVipKey, image_name, member_name, place_name,
    release_name, secret_name,
};
pub use lead::{Candidate, Election, Term};
pub use leases::{Asked, Granting, LEASES_EVERY};
pub use logs::LogLines;
pub(crate) use pipeline::phase_name;
pub use published::{Published, TableFrames};
pub(crate) use safe_mode::why as why_safe_mode;
pub use servers::{MemberSource, PeerRelay, Servers};
pub use snapshot::{Planning, SpecKey, Specs};
pub use state::Core;
pub use view::{Listed, Row, Table, View};
pub(crate) use vips::serves_ingress;
pub use words::{AGES_EVERY, Age, PEER_VERSION, ServerWord, Word};
