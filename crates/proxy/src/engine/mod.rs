//! The engine: sockets, connections and the doing of what [`crate::decide`] decides.
//!
//! Every worker thread runs its own single-threaded runtime with its own connection pools, counters
//! and view of the table; on the path of a request nothing is shared between threads.

pub(crate) mod accept;
pub(crate) mod access_log;
pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod forward;
pub(crate) mod handle;
pub(crate) mod io;
pub(crate) mod local;
pub(crate) mod log_line;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod serve;
pub(crate) mod sweep;
pub(crate) mod tcp;
pub(crate) mod ticket;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod upstream;
pub(crate) mod worker;
