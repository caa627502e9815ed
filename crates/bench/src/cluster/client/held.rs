//! The client inside: one long connection through a service address, from an instance's own
//! network. It is a process of its own, started there, and writes what came of its requests.

use std::io::Write;
use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Sample;
use super::kept::keep;

/// Between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until this process is killed; each sample is a line of JSON on standard output.
pub(crate) fn hold(target: SocketAddrV4) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tell = |sample: Sample| {
        let Ok(mut line) = serde_json::to_vec(&sample) else { return };
        line.push(b'\n');
        // Who reads may have gone, and this process goes next.
        let _ = std::io::stdout().write_all(&line);
    };
    runtime.context("start a client")?.block_on(keep(target, "inside", PAUSE, || true, tell));
    Ok(())
}
