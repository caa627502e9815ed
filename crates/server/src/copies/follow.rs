//! Follows the records: what other servers took or deleted is so here too. A server that was away
//! catches up by the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store::Revision;
use tokio::sync::watch;

use super::cluster::Shared;
use crate::control::Controller;
use crate::core::{Core, View};
use crate::oci::Cluster;

/// A full look at everything even if nothing changes: images whose manifest no server gave.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at changes are at least so far apart.
const APART: Duration = Duration::from_millis(100);

/// Follows the records.
pub struct Follow {
    shared: Arc<Shared>,
    changes: watch::Receiver<Revision>,
    /// The newest record and the number of them, when last looked at.
    seen: (Revision, usize),
}

impl Follow {
    /// A follower that has seen nothing.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let changes = shared.core.cache.changes();
        Self { shared, changes, seen: Default::default() }
    }
}

/// What changes when any record does.
fn mark(view: &View) -> (Revision, usize) {
    let images = view.images.values().map(|row| row.revision);
    let newest = images.chain(view.image_tags.values().map(|row| row.revision)).max();
    (newest.unwrap_or_default(), view.images.len() + view.image_tags.len())
}

#[async_trait]
impl Controller for Follow {
    fn name(&self) -> &'static str {
        "image-records"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, core: &Core) {
        while self.changes.changed().await.is_ok() {
            if mark(&core.view()) != self.seen {
                return;
            }
            tokio::time::sleep(APART).await;
        }
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        self.changes.mark_unchanged();
        self.seen = mark(&core.view());
        let shared = self.shared.clone();
        let done = self.shared.registry.follow(move || shared.records()).await;
        let done = done.map_err(|error| error.to_string())?;
        for record in &done.unrecorded {
            // A release needs it and its record is lost: the state is older than the image.
            self.shared.record(record, None).await.map_err(|error| error.to_string())?;
        }
        if done.absent > 0 {
            return Err(format!("{} images are on no server that answers", done.absent));
        }
        let changed = done.added + done.removed + done.tags;
        Ok(match changed {
            0 => String::new(),
            _ => format!(
                "{} images added, {} removed, {} tags changed",
                done.added, done.removed, done.tags
            ),
        })
    }
}
