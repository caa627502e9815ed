//! One instance on its host as a pure state machine: from its image to a healthy process, through
//! deaths and restarts, to nothing left. Who drives it carries out the [`Effect`]s and tells what
//! became of them as [`Event`]s; it never decides. Agent and simulation drive the same machine.
//!
//! No clock, no I/O and no randomness here: `now` and the seed of the jitter come from outside.

mod event;
mod machine;
mod report;
mod rules;
mod state;
#[cfg(test)]
mod tests;

pub use event::{Effect, Event};
pub use machine::Machine;
pub use report::{Death, Report};
pub use rules::{
    Rules, SETTLE, START_PROBE_FAST, START_PROBE_FAST_FOR, START_PROBE_SLOW, STOP_MARGIN,
};
