//! One machine's process: a runtime with a clock of its own that runs only when it is let.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::place::{Hub, NodeId, Place};

/// A process, where one runs.
pub(super) struct Node {
    pub(super) id: NodeId,
    running: Option<Running>,
    /// Until when it stands still.
    pub(super) frozen_until: Option<u64>,
}

struct Running {
    runtime: Runtime,
    base: Instant,
    born: u64,
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self { id, running: None, frozen_until: None }
    }

    pub(super) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Starts a process; what it does is spawned by `begin`.
    pub(super) fn start(&mut self, now: u64, hub: &Arc<Hub>, begin: impl FnOnce(Place)) {
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true);
        let runtime = builder.build().expect("a runtime without sockets needs nothing");
        let (hub, node) = (hub.clone(), self.id);
        let base = runtime.block_on(async move {
            let base = Instant::now();
            begin(Place { hub, node, base, born: now });
            base
        });
        self.running = Some(Running { runtime, base, born: now });
        self.frozen_until = None;
    }

    /// Lets it run up to a time, unless it stands still.
    pub(super) fn run_until(&mut self, to: u64) {
        let Some(running) = &self.running else { return };
        if self.frozen_until.is_some_and(|until| to <= until) {
            return;
        }
        let thawed = self.frozen_until.take();
        let at = |time: u64| running.base + Duration::from_millis(time - running.born);
        running.runtime.block_on(async {
            if let Some(thawed) = thawed {
                // All at once, as a process finds it that was stopped.
                let missed = at(thawed).saturating_duration_since(Instant::now());
                tokio::time::advance(missed).await;
            }
            tokio::time::sleep_until(at(to)).await;
        });
    }

    /// Begins something beside what it does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = &self.running {
            running.runtime.spawn(task);
        }
    }

    /// Ends it wherever it is.
    pub(super) fn kill(&mut self) {
        self.running = None;
        self.frozen_until = None;
    }
}
