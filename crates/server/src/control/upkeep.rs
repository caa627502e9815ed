//! Upkeep: forgets old events and old revisions of the store, collects images nobody uses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store::Revision;
use tokio::time::Instant;

use super::driver::Controller;
use crate::access::Releases;
use crate::core::{Core, Kind, StoredEvent, Term, forget_events};
use crate::oci::Registry;

/// How long old revisions stay readable, for watches that resume.
const KEEP_REVISIONS: Duration = Duration::from_secs(600);

/// Forgets what is old.
pub(super) struct Upkeep {
    term: Term,
    /// Where the store stood when; the oldest is compacted to when its time has come.
    marks: Vec<(Instant, Revision)>,
}

impl Upkeep {
    pub(super) fn new(term: Term) -> Self {
        Self { term, marks: Vec::new() }
    }
}

#[async_trait]
impl Controller for Upkeep {
    fn name(&self) -> &'static str {
        "upkeep"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn changed(&mut self, _: &Core) {
        std::future::pending().await
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        let view = core.view();
        let keys = view.events.keys().map(|name| format!("{}{name}", StoredEvent::PREFIX));
        let keys: Vec<String> = keys.collect();
        let store = core.store.as_ref();
        let forgotten = forget_events(store, &self.term, keys.into_iter());
        let forgotten = forgotten.await.map_err(|error| error.to_string())?;
        self.marks.push((Instant::now(), view.revision));
        let old = self.marks.iter().take_while(|(at, _)| at.elapsed() >= KEEP_REVISIONS).count();
        let mut compacted = None;
        if let Some((_, revision)) = self.marks.drain(..old).next_back() {
            match store.compact(revision).await {
                Ok(()) => compacted = Some(revision),
                Err(error) if error.must_relist() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let mut done = Vec::new();
        if forgotten > 0 {
            done.push(format!("{forgotten} events forgotten"));
        }
        if let Some(revision) = compacted {
            done.push(format!("compacted to revision {}", revision.0));
        }
        Ok(done.join(", "))
    }
}

/// Collects images that nobody uses.
pub(super) struct Garbage {
    registry: Arc<Registry>,
}

impl Garbage {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}

#[async_trait]
impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "image-garbage"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn changed(&mut self, _: &Core) {
        std::future::pending().await
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        collect_garbage(core, &self.registry).await
    }
}

/// Collects what no tag, release or running upload needs; says what was removed.
///
/// # Errors
/// When the registry's disk can't be read.
pub async fn collect_garbage(core: &Arc<Core>, registry: &Registry) -> Result<String, String> {
    let report = registry.gc(&Releases(core.clone())).await.map_err(|error| error.to_string())?;
    if report.contents_removed == 0 && report.manifests_removed == 0 {
        return Ok(String::new());
    }
    Ok(format!(
        "{} manifests and {} contents removed, {} bytes freed",
        report.manifests_removed, report.contents_removed, report.bytes_freed
    ))
}
