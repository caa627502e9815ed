//! What documents are handed to, as traits: all that differs between a machine and what stands in
//! for one.

use std::sync::Arc;

use api::network::NetworkTable;
use api::registry::Registry;
use api::warm::Warm;
use async_trait::async_trait;

use super::warm::Warming;
use crate::images::ImagesError;
use crate::network::Network;

/// The ways to instances on all hosts.
#[async_trait]
pub trait Ways: Send + Sync {
    /// Puts a table in place; the number is what [`Ways::reached`] waits for.
    async fn set_table(&self, table: NetworkTable) -> u64;

    /// Ready when all hosts of that table can be reached. Safe to drop.
    async fn reached(&self, number: u64);
}

#[async_trait]
impl Ways for Network {
    async fn set_table(&self, table: NetworkTable) -> u64 {
        self.set_table(table).await
    }

    async fn reached(&self, number: u64) {
        self.reached(number).await;
    }
}

/// Where images come from.
pub trait Supply: Send + Sync {
    /// Sets the registries off the cluster.
    ///
    /// # Errors
    /// One is described wrongly; nothing changes then.
    fn set_registries(&self, registries: &[Registry]) -> Result<(), ImagesError>;

    /// Takes a list of what to have ready ahead of need; gives whether it is another one.
    fn take(&self, list: Warm) -> Option<Arc<Warm>>;
}

impl Supply for Warming {
    fn set_registries(&self, registries: &[Registry]) -> Result<(), ImagesError> {
        self.images.set_registries(registries)
    }

    fn take(&self, list: Warm) -> Option<Arc<Warm>> {
        self.take(list)
    }
}
