//! Runs controllers and keeps what they did for `freehold status --controllers`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::operation::ControllerView;
use api::time::Timestamp;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::Core;

/// A controller: one job, done over and over.
#[async_trait]
pub trait Controller: Send {
    /// Its name, as shown.
    fn name(&self) -> &'static str;

    /// How often it runs even if nothing changes.
    fn period(&self) -> Duration;

    /// Waits until it should run before its period is over.
    async fn changed(&mut self, core: &Core);

    /// Does its job once, from present state. The text says what was done; empty when nothing was.
    ///
    /// # Errors
    /// Why it could not; it runs again later.
    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String>;

    /// When it wants to run again although nothing changes and its period is not over.
    fn wake_in(&self) -> Option<Duration> {
        None
    }
}

/// After a failure a controller waits this long before it is run again.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What controllers did, and where they compute.
#[derive(Debug, Default)]
pub struct Driver {
    views: Mutex<BTreeMap<&'static str, ControllerView>>,
    one_thread: bool,
}

impl Driver {
    /// One whose controllers compute on the thread they run on, so that a run can be repeated.
    #[must_use]
    pub fn on_one_thread() -> Self {
        Self { one_thread: true, ..Self::default() }
    }

    /// Computes something that may take seconds, beside everything else.
    ///
    /// # Errors
    /// It did not come to its end.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.one_thread {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
    }

    /// All controllers with their last results.
    #[must_use]
    pub fn list(&self) -> Vec<ControllerView> {
        self.views.lock().values().cloned().collect()
    }

    /// Runs a controller until told to stop.
    pub async fn run(
        core: Arc<Core>,
        mut controller: Box<dyn Controller>,
        stop: CancellationToken,
    ) {
        loop {
            let started = Instant::now();
            let result = controller.run(&core).await;
            core.driver.note(core.now(), controller.as_ref(), started.elapsed(), &result);
            if let Err(error) = &result {
                tracing::warn!(name = controller.name(), error, "a controller failed");
                // A store that is away, or a plan that must not be, would fail again at once.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AFTER_FAILURE) => {}
                }
            }
            let wait = controller.wake_in().unwrap_or(Duration::MAX).min(controller.period());
            // Cancel-safe: a change that is missed is seen by the next run, which reads all.
            tokio::select! {
                () = stop.cancelled() => return,
                () = controller.changed(&core) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn note(
        &self,
        at: Timestamp,
        controller: &dyn Controller,
        took: Duration,
        result: &Result<String, String>,
    ) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut views = self.views.lock();
        let view = views.entry(controller.name()).or_insert_with(|| ControllerView {
            name: controller.name().to_owned(),
            period_ms: millis(controller.period()),
            runs: 0,
            failures: 0,
            last_run: None,
            last_took_ms: 0,
            last_result: String::new(),
        });
        view.runs += 1;
        view.failures += u64::from(result.is_err());
        view.last_run = Some(at);
        view.last_took_ms = millis(took);
        match result {
            Ok(done) if done.is_empty() => {}
            Ok(done) | Err(done) => view.last_result.clone_from(done),
        }
    }
}
