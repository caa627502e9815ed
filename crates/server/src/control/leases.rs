//! Grants leases of singletons, on the leader. Before it answers it asks the store whether its term
//! is still the newest: whoever takes over afterwards waits until what was granted by then is over
//! (decision 0009). No clock has a part in that.

use std::sync::Arc;
use std::time::Duration;

use api::lease::LEASE;

use crate::core::{Core, LEASES_EVERY, Term};

/// How long the store may take to say whether the term holds. What is asked later is asked anew.
const PATIENCE: Duration = Duration::from_millis(LEASE.0 / 3);

/// Grants until dropped, and nothing after that.
pub(super) async fn run(core: Arc<Core>, term: Term) {
    let _term = Granting::begin(&core);
    loop {
        let asked = core.servers.leases.take().await;
        match tokio::time::timeout(PATIENCE, term.holds(core.store.as_ref())).await {
            Ok(Ok(true)) => core.answer_leases(&asked),
            Ok(Ok(false)) => tracing::warn!(term = term.number, "no leases: another server leads"),
            Ok(Err(error)) => tracing::warn!(%error, "no leases: ask who leads"),
            Err(_) => tracing::warn!("no leases: the store does not answer"),
        }
        tokio::time::sleep(LEASES_EVERY).await;
    }
}

/// The leader's grants, as long as it leads.
struct Granting<'a>(&'a Core);

impl<'a> Granting<'a> {
    fn begin(core: &'a Core) -> Self {
        core.servers.leases.begin();
        Self(core)
    }
}

impl Drop for Granting<'_> {
    fn drop(&mut self) {
        self.0.servers.leases.end();
    }
}
