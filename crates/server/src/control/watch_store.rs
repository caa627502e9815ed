//! Watches whether the store answers, and gives agents a sign of life that says so.

use std::sync::Arc;
use std::time::Duration;

use api::protocol::{Down, HEARTBEAT};
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::core::Core;

/// How often the store is asked, and how long it may take.
const EVERY: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_millis(500);

/// A store that has not answered for so long is out of reach.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// Watches until told to stop.
pub(super) async fn run(core: Arc<Core>, stop: CancellationToken) {
    // Cancel-safe: both only look and tell.
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch(&core) => {}
        () = beat(&core) => {}
    }
}

async fn watch(core: &Core) {
    let mut answered = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        let key = b"leader/term";
        match tokio::time::timeout(WITHIN, core.store.get(key, None)).await {
            Ok(Ok(_)) => answered = asked,
            Ok(Err(error)) => tracing::debug!(%error, "ask the store for a sign of life"),
            Err(_) => tracing::debug!("the store does not answer"),
        }
        let reachable = answered.elapsed() < GONE_AFTER;
        if reachable != *core.servers.store_reachable().borrow() {
            tracing::warn!(reachable, "whether the store can be reached has changed");
            core.servers.note_store(reachable);
        }
    }
}

/// Sends agents what the server says of its store, over and over: an agent that hears nothing for
/// long looks for another server.
async fn beat(core: &Core) {
    let mut ticks = interval(HEARTBEAT.duration());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reachable = *core.servers.store_reachable().borrow();
        match api::frame::encode(&Down::Store { reachable }) {
            Ok(frame) => core.agents.beat(&Bytes::from(frame)),
            Err(error) => tracing::error!(%error, "encode a sign of life"),
        }
    }
}
