//! Images ahead of need, and other hosts: has ready what the servers list, gives layers to hosts
//! that they name, and says what is here.

use std::sync::Arc;
use std::time::Duration;

use api::release::Image;
use api::warm::Warm;
use pki::{Identity, SwappableAuthorities, SwappableIdentity};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::options::{AgentError, Options};
use crate::converge::Order;
use crate::failure::told;
use crate::images::{Giver, Images, Neighbours, Pressure};

/// How long after images could not all be had it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(15);

/// What keeps images ahead of need.
pub(super) struct Warming {
    pub(super) images: Arc<Images>,
    pub(super) lists: watch::Sender<Arc<Warm>>,
    /// Between hosts; none on a host alone.
    between: Option<(Arc<Giver>, Arc<Neighbours>)>,
}

impl Warming {
    /// Begins with the list that was kept. The listener is where other hosts ask.
    pub(super) async fn new(
        options: &Options,
        images: &Arc<Images>,
        authorities: &Arc<SwappableAuthorities>,
        identity: &Arc<SwappableIdentity>,
        kept: Option<Warm>,
    ) -> Result<(Arc<Self>, Option<TcpListener>), AgentError> {
        let list = Arc::new(kept.unwrap_or_default());
        let lists = watch::Sender::new(list.clone());
        let mut warming = Self { images: images.clone(), lists, between: None };
        let mut listener = None;
        // Where other hosts probe this one, they ask it for layers too, over TCP.
        if let Some(address) = options.probe {
            let peer = Identity::load(&options.certificate, &options.key)?.peer()?;
            let (cluster, clock) = (peer.cluster(), &options.clock);
            let giver = Giver::new(images.clone(), authorities, identity.clone(), cluster, clock);
            let giver = giver.map_err(crate::link::LinkError::Tls)?;
            let bound = Giver::bind(address).await;
            listener = Some(bound.map_err(|source| AgentError::Give { address, source })?);
            let neighbours =
                Neighbours::new(authorities.clone(), identity.clone(), cluster, clock.clone());
            let neighbours = Arc::new(neighbours);
            images.set_neighbours(neighbours.clone());
            warming.between = Some((giver, neighbours));
        }
        warming.tell(&list);
        Ok((Arc::new(warming), listener))
    }

    /// Takes a list; gives whether it is another one. Whichever came last is right: the servers'
    /// leader alone makes them.
    pub(super) fn take(&self, list: Warm) -> Option<Arc<Warm>> {
        if **self.lists.borrow() == list {
            return None;
        }
        let list = Arc::new(list);
        self.tell(&list);
        self.lists.send_replace(list.clone());
        Some(list)
    }

    fn tell(&self, list: &Warm) {
        if let Some((giver, neighbours)) = &self.between {
            giver.set_askers(list.askers.clone());
            neighbours.set_sources(list.sources.clone());
        }
    }

    /// Gives layers to other hosts until dropped.
    pub(super) async fn give(self: Arc<Self>, listener: Option<TcpListener>) {
        if let (Some((giver, _)), Some(listener)) = (&self.between, listener) {
            giver.clone().run(listener).await;
        }
    }

    /// Has the listed images ready, one after the other, until dropped; and finds again what was
    /// here before this agent.
    pub(super) async fn run(self: Arc<Self>, mut in_use: watch::Receiver<Vec<Image>>) {
        let mut lists = self.lists.subscribe();
        loop {
            let used = in_use.borrow_and_update().clone();
            for image in used {
                self.images.recall(&image).await;
            }
            let list = lists.borrow_and_update().clone();
            let whole = self.fetch(&list).await;
            // Both are cancel-safe: they only tell that something changed.
            tokio::select! {
                changed = lists.changed() => if changed.is_err() { return },
                changed = in_use.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN_AFTER), if !whole => {}
            }
        }
    }

    /// Says whether all are here.
    async fn fetch(&self, list: &Warm) -> bool {
        let mut whole = true;
        for image in &list.images {
            if self.images.recall(image).await {
                continue;
            }
            if self.images.pressure() == Pressure::High {
                let image = &image.digest;
                tracing::warn!(%image, "no room on the disk for an image ahead of need");
                return false;
            }
            tracing::info!(image = %image.digest, "fetching an image ahead of need");
            if let Err(error) = self.images.ensure(image, &|_| ()).await {
                let (image, error) = (&image.digest, told(&error));
                tracing::info!(%image, error, "an image was not fetched ahead of need");
                whole = false;
            }
        }
        whole
    }
}

/// Reports which images are here, until dropped.
pub(super) async fn report(images: Arc<Images>, orders: mpsc::Sender<Order>) {
    let mut held = images.held();
    loop {
        let here = held.borrow_and_update().clone();
        if orders.send(Order::Images(here)).await.is_err() || held.changed().await.is_err() {
            return;
        }
    }
}
