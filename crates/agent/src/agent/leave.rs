//! Whom this host sends nothing to by its own word: decided anew whenever it finds something as an
//! observer, or a server begins or ceases to decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::id::HostId;
use api::liveness::{Observe, Observed};
use plan::alone;
use tokio::sync::watch;

/// What that is decided from.
pub(super) struct Leaving {
    /// Whether a server in reach decides.
    pub decides: watch::Receiver<bool>,
    /// Whom this host observes.
    pub observe: watch::Receiver<Arc<Observe>>,
    /// What it finds.
    pub observed: watch::Receiver<Observed>,
}

impl Leaving {
    /// Keeps `left` right until dropped.
    pub(super) async fn run(mut self, left: watch::Sender<BTreeSet<HostId>>) {
        loop {
            let decides = *self.decides.borrow_and_update();
            let targets = self.observe.borrow().targets.len();
            let observed = self.observed.borrow_and_update().clone();
            let now = alone::left(&left.borrow(), decides, &observed, targets);
            if now != *left.borrow() {
                let hosts = now.iter().map(HostId::as_str).collect::<Vec<_>>().join(", ");
                tracing::warn!(hosts, decides, "send nothing to hosts that are not heard");
                left.send_replace(now);
            }
            // Each only waits.
            let changed = tokio::select! {
                changed = self.decides.changed() => changed,
                changed = self.observed.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }
}
