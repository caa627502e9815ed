//! The core itself: what a server knows, and how it writes.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::time::Timestamp;
use clock::Clock;
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use pki::Keyring;
use store::{Revision, Store};

use super::{Agents, Cache, Change, Events, Planning, Resolver, Servers, View};
use crate::control::Driver;

/// What a server knows and can do. Cheap to clone by its `Arc`.
pub struct Core {
    /// The cluster's name.
    pub cluster: String,
    /// Where instances' addresses come from; each host has a /24 of it.
    pub instance_range: Ipv4Net,
    /// Where service addresses come from.
    pub service_range: Ipv4Net,
    /// The port of https as clients see it, when it is not 443.
    pub https_port: Option<u16>,
    /// The clock.
    pub clock: Clock,
    /// The documents.
    pub store: Arc<dyn Store>,
    /// The view of them.
    pub cache: Arc<Cache>,
    /// The agents' streams.
    pub agents: Agents,
    /// This server among the others.
    pub servers: Servers,
    /// What happened, on its way into the store.
    pub events: Events,
    /// Seals secrets.
    pub keyring: Arc<Keyring>,
    /// The controllers.
    pub driver: Driver,
    /// Finds out what an image reference stands for.
    pub resolver: Resolver,
    /// What the planner said last.
    pub planning: Mutex<Planning>,
}

impl Core {
    /// The present time of this machine, for what is shown and for spans on this machine.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.cache.view()
    }

    /// Waits until the view shows a revision, for at most a second; says whether it does.
    pub async fn wait_for(&self, revision: Revision) -> bool {
        self.cache.wait_for(revision).await
    }

    /// Writes a change and waits until the view shows it, so that who asked can read it.
    ///
    /// # Errors
    /// When something changed first, or the store refuses.
    pub async fn commit(&self, change: Change) -> Result<Revision, ApiError> {
        if !*self.servers.store_reachable().borrow() {
            let message = format!("server {} can't reach its store now", self.servers.me);
            return Err(ApiError::new(ErrorCode::Unavailable, message)
                .hint("what is read here may be old; another server may have its store"));
        }
        let revision = change.commit(self.store.as_ref()).await?;
        self.wait_for(revision).await;
        Ok(revision)
    }
}
