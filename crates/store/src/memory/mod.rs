//! The store in memory: a real one, with every revision kept until compaction, that forgets all at
//! its end. For tests and simulations, with knobs for faults.

mod faults;
mod store;
mod tables;

pub use faults::Faults;
pub use store::MemoryStore;
