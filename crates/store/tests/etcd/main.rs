//! The backend on a real etcd: the conformance suite, members that die and freeze, a full quota.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod conform;
mod faults;
mod members;
mod moving;
