//! Who is dead, from two sides: the ages of agents' streams, and observers that probe hosts from
//! other failure domains. [`lists`] says who probes whom, [`Prober`] is one observer's memory,
//! [`judge`] the verdict, [`safe_mode`] what follows when much is lost at once.
//!
//! Silence alone kills nobody: without the word of an observer that itself is heard and hears
//! others, no host is ever taken for dead.

mod hearing;
mod observers;
mod prober;
mod safe_mode;
mod verdict;

pub use hearing::{Unheard, unheard};
pub use observers::{OBSERVERS, Observer, lists};
pub use prober::Prober;
pub use safe_mode::{Budget, SafeMode, safe_mode};
pub use verdict::{Evidence, HostEvidence, Reason, Verdict, Verdicts, Word, judge};

#[cfg(test)]
mod tests;
