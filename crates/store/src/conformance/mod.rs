//! What every backend must do, as named cases over the trait alone. A backend's tests run each case
//! on a fresh, empty store:
//!
//! ```no_run
//! # async fn each() {
//! use std::sync::Arc;
//! store::conformance::suite(|| async {
//!     Arc::new(store::MemoryStore::new()) as Arc<dyn store::Store>
//! })
//! .await;
//! # }
//! ```
//!
//! Cases panic with what they saw. They compare revisions only relative to where the store stood,
//! since an engine with a life of its own need not begin at [`Revision::FIRST`](crate::Revision).

mod case;
mod history;
mod leases;
mod steps;
mod transactions;
mod watches;

pub use case::{Case, cases, suite};
