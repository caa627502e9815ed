//! The runtime with real containers: needs root, prints why it skips otherwise.
#![expect(missing_docs, clippy::unwrap_used, reason = "tests")]

mod life;
mod support;
