//! Waiting for a cluster, with an end.

use std::time::Duration;

use anyhow::Result;

use super::platform::Platform;

/// How long anything that becomes ready may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks: each may be a process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until `look` gives something.
pub(super) fn patiently<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{what} took longer than {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until a cluster is whole and quiet.
pub(super) fn settle(platform: &mut dyn Platform, count: usize) -> Result<()> {
    let mut last = String::new();
    let waited = patiently("settling", || {
        let missing = platform.unsettled(count)?;
        Ok(missing.map(|missing| last = missing).is_none().then_some(()))
    });
    waited.map_err(|error| error.context(format!("{}: {last}", platform.name())))
}
