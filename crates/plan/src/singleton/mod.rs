//! Singletons: apps whose author prefers no instance to two. An instance runs only under a lease
//! that its leader grants and its shim enforces; what is decided here is who gets one, and from
//! when on nothing of an earlier one can run.
//!
//! * Only the instance with the highest epoch ever given out may run, so that who was replaced
//!   never comes back.
//! * One that ran under a lease gets the next one at once: it ran when no other could.
//! * One that never ran waits until every other's lease is over, and under a new leader until
//!   whatever an earlier one may have granted is.

mod leases;

pub use leases::{Leases, Refusal, Wish};

#[cfg(test)]
mod tests;
