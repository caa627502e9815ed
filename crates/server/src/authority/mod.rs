//! The exchange of the cluster's authority: the servers' part and the leader's.
//!
//! What is to be trusted, and who signs, is one document; every member takes it over and says so.
//! The leader goes on to the next phase when all are through with the present one. Each step may be
//! repeated, so whoever stops anywhere goes on where it was.

mod exchange;
mod keep;
mod leader;
mod step;

pub(crate) use keep::AuthorityKeeper;
pub(crate) use leader::Exchange;
