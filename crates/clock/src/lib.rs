//! The one clock of servers and agents: wall time for people and certificates, and the time since
//! the machine started, which never jumps. Real, with an offset of the wall time for rehearsals, or
//! virtual, moved by tokio's paused clock.
//!
//! Spans inside of one process are measured with [`tokio::time::Instant`], which a paused runtime
//! moves too; what is measured across processes of one machine takes [`Clock::since_boot`].

mod clock;
mod offset;

pub use clock::Clock;
pub use offset::{OFFSET_VARIABLE, Offset, OffsetError};
