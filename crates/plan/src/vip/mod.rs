//! Who holds an address that the ingress answers on: agreed by adverts among the candidates of a
//! segment, by the rules of VRRP (RFC 9568) with three differences that keep the address from ever
//! being held twice on a healthy segment.
//!
//! * Candidates wait by *rank* (priority, then address, all of which everyone knows) and not by
//!   priority alone, so that they rarely find the holder silent at the same time.
//! * Nobody just takes the address: it claims it and waits for objections. A holder that is there
//!   objects, or gives the address up first when the other is preferred; of two that claim at the
//!   same time the better one goes on.
//! * Whoever was not running for a while (frozen, or starved of its processor) forgets what it was
//!   and listens first.
//!
//! [`candidates`] says who may hold an address and who is preferred; that is all that servers
//! decide.
//!
//! Pure: [`step`] takes a state, an event and the time and gives the next state and what to do.

mod candidates;
mod election;

pub use candidates::{candidates, published};
pub use election::{
    ADVERT_EVERY, Advert, Effect, Election, Event, LATE, RANK_STEP, Role, SILENCE, State, step,
};
