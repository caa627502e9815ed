//! This server as an observer of hosts: probes those that the leader lists for it, and says what it
//! finds. Where there are few hosts, their own words alone would be too few.

use std::sync::Arc;
use std::time::Duration;

use api::liveness::Observed;
use probe::{Service, Sockets};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::core::Core;

/// A pause before another attempt to get a socket.
const AGAIN: Duration = Duration::from_secs(1);

/// Observes until told to stop.
pub(super) async fn run(core: Arc<Core>, sockets: Arc<dyn Sockets>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = observe(&core, &*sockets) => {}
    }
}

async fn observe(core: &Core, sockets: &dyn Sockets) {
    let published = &core.servers.published;
    let mut changes = published.changes();
    let list = || Arc::new(published.observe_from(&core.servers.me));
    let (lists, given) = watch::channel(list());
    let (found, mut observed) = watch::channel(Observed::default());
    let probing = async {
        loop {
            match sockets.open().await {
                Ok(wire) => Service::on(wire, None, given.clone(), found.clone()).run().await,
                Err(error) => tracing::warn!(%error, "get a socket to probe hosts from"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::pin!(probing);
    loop {
        tokio::select! {
            // Goes on where it was: it is pinned.
            () = &mut probing => return,
            // Cancel-safe: both only tell that something changed.
            _ = changes.changed() => {
                lists.send_if_modified(|before| {
                    let new = list();
                    let changed = *before != new;
                    *before = new;
                    changed
                });
            }
            _ = observed.changed() => {
                let news = observed.borrow_and_update().clone();
                core.agents.gathered.observes(news);
            }
        }
    }
}
