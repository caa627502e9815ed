//! Keeping documents in the background: the newest is written, whatever came between is not.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use super::vault::Vault;

/// Keeps one document.
#[derive(Debug)]
pub struct Keeper<T> {
    newest: watch::Sender<(u64, Option<Arc<T>>)>,
    kept: watch::Receiver<u64>,
}

impl<T: Serialize + Send + Sync + 'static> Keeper<T> {
    /// Starts the task that keeps the document of this name.
    #[must_use]
    pub fn start(vault: Arc<Vault>, name: &'static str) -> Self {
        let (newest, mut given) = watch::channel((0, None::<Arc<T>>));
        let (done, kept) = watch::channel(0);
        tokio::spawn(async move {
            while given.changed().await.is_ok() {
                let (number, value) = given.borrow_and_update().clone();
                let Some(value) = value else { continue };
                let vault = vault.clone();
                let saved = tokio::task::spawn_blocking(move || vault.save(name, &*value)).await;
                if let Ok(Err(error)) = saved {
                    let error = crate::failure::told(&error);
                    tracing::error!(error, "the agent would not start with its newest documents");
                }
                done.send_replace(number);
            }
        });
        Self { newest, kept }
    }

    /// Gives a new version.
    pub fn keep(&self, value: Arc<T>) {
        self.newest.send_modify(|(number, newest)| {
            *number += 1;
            *newest = Some(value);
        });
    }

    /// Waits until the newest version was written, or failed to be.
    pub async fn flush(&self) {
        let number = self.newest.borrow().0;
        let _ = self.kept.clone().wait_for(|kept| *kept >= number).await;
    }
}
