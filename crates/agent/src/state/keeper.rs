//! Keeping documents in the background: the newest is written, whatever came between is not.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use async_trait::async_trait;

use super::vault::{Vault, VaultError};

/// Gives a document as JSON; takes long for a large one.
pub type Json = Box<dyn FnOnce() -> Result<Vec<u8>, VaultError> + Send>;

/// Where documents are kept.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Keeps a document, whole or not at all; on disk when it returns.
    ///
    /// # Errors
    /// It could not be written; the one before stays.
    async fn put(self: Arc<Self>, name: &'static str, json: Json) -> Result<(), VaultError>;
}

#[async_trait]
impl Shelf for Vault {
    async fn put(self: Arc<Self>, name: &'static str, json: Json) -> Result<(), VaultError> {
        let save = move || self.save_json(name, &json()?);
        // An end of the runtime, or a panic, has been told of.
        tokio::task::spawn_blocking(save).await.unwrap_or(Ok(()))
    }
}

/// Keeps one document.
#[derive(Debug)]
pub struct Keeper<T> {
    newest: watch::Sender<(u64, Option<Arc<T>>)>,
    kept: watch::Receiver<u64>,
}

impl<T: Serialize + Send + Sync + 'static> Keeper<T> {
    /// Starts the task that keeps the document of this name.
    #[must_use]
    pub fn start(shelf: Arc<dyn Shelf>, name: &'static str) -> Self {
        let (newest, mut given) = watch::channel((0, None::<Arc<T>>));
        let (done, kept) = watch::channel(0);
        tokio::spawn(async move {
            while given.changed().await.is_ok() {
                let (number, value) = given.borrow_and_update().clone();
                let Some(value) = value else { continue };
                let failed = move |source| VaultError::Json { name, source };
                let json = move || serde_json::to_vec(&*value).map_err(failed);
                if let Err(error) = shelf.clone().put(name, Box::new(json)).await {
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
