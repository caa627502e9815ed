//! What is here: what is reported of it, what of it other hosts get, and what goes.

use std::collections::BTreeSet;

use api::warm::MAX_REPORTED;
use image::content::BlobReader;
use image::{Digest, Document};
use plan::restart::Moment;
use tokio::sync::watch;

use super::Images;
use super::collect::{Pressure, disposable};

impl Images {
    /// The images whose every layer is here, sorted, and each change of that.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<Vec<api::digest::Digest>> {
        self.held.subscribe()
    }

    pub(super) fn tell_held(&self) {
        let known: Vec<Digest> = self.ready.lock().keys().copied().collect();
        let warm = known.iter().filter(|digest| self.warm(digest).is_some());
        let mut held: Vec<api::digest::Digest> =
            warm.filter_map(|digest| digest.to_string().parse().ok()).collect();
        held.sort();
        held.truncate(MAX_REPORTED);
        self.held.send_if_modified(|before| {
            let changed = *before != held;
            *before = held;
            changed
        });
    }

    /// Whether an image is here, whole; asks nobody.
    pub async fn recall(&self, wanted: &api::release::Image) -> bool {
        let Ok(digest) = wanted.digest.as_str().parse::<Digest>() else { return false };
        if self.warm(&digest).is_some() {
            return true;
        }
        let Ok(Some(image)) = self.known(digest).await else { return false };
        if !image.layers.iter().all(|layer| self.layers.has(&layer.diff_id)) {
            return false;
        }
        self.ready.lock().insert(digest, std::sync::Arc::new(image));
        self.tell_held();
        true
    }

    /// How full the disk is.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        match rustix::fs::statvfs(&self.root) {
            Ok(disk) => Pressure::of(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
            Err(_) => Pressure::None,
        }
    }

    /// A part of an image that is here, as it was transferred: a document or a layer of it.
    pub(super) async fn part(&self, image: Digest, part: Digest) -> Option<BlobReader> {
        if !self.contents(image).await.contains(&part) {
            return None;
        }
        let content = self.content.clone();
        let opened = tokio::task::spawn_blocking(move || content.reader(&part)).await;
        opened.ok()?.ok()
    }

    /// Everything that an image is made of as it is transferred, as far as its documents are here.
    async fn contents(&self, image: Digest) -> BTreeSet<Digest> {
        let content = self.content.clone();
        let walk = move || {
            let limit = image::manifest::MAX_DOCUMENT_BYTES as u64;
            let (mut found, mut todo) = (BTreeSet::new(), vec![image]);
            while let Some(digest) = todo.pop() {
                let Ok(bytes) = content.read(&digest, limit) else { continue };
                if !found.insert(digest) {
                    continue;
                }
                let Ok(document) = Document::parse(&bytes, None) else { continue };
                let parts = document.references();
                let parts = parts.iter().filter_map(|part| Digest::try_from(part.digest()).ok());
                match document {
                    Document::Index(_) => todo.extend(parts),
                    Document::Image(_) => found.extend(parts),
                }
            }
            found
        };
        tokio::task::spawn_blocking(walk).await.unwrap_or_default()
    }

    /// Removes what none of `used` needs and what was not used for a while. On a full disk layers
    /// are not kept for other hosts either.
    pub async fn collect(&self, used: &[api::release::Image], now: Moment) {
        let _alone = self.collecting.write().await;
        let pressure = self.pressure();
        let (mut layers, mut contents) = (BTreeSet::new(), BTreeSet::new());
        for image in used {
            let Ok(digest) = image.digest.as_str().parse::<Digest>() else { continue };
            let mut parts = self.contents(digest).await;
            if let Ok(Some(image)) = self.known(digest).await {
                layers.extend(image.layers.iter().map(|layer| layer.diff_id));
                if pressure == Pressure::High {
                    image.layers.iter().for_each(|layer| _ = parts.remove(&layer.blob));
                }
            }
            contents.extend(parts);
        }
        self.collect_layers(&layers, now, pressure).await;
        self.collect_contents(&contents, now, pressure).await;
        self.tell_held();
    }

    async fn collect_layers(&self, used: &BTreeSet<Digest>, now: Moment, pressure: Pressure) {
        let present: Vec<Digest> = match self.layers.list() {
            Ok(present) => present.into_iter().map(|info| info.diff_id).collect(),
            Err(error) => return tracing::warn!(%error, "listing layers"),
        };
        let gone = disposable(&present, used, &mut self.usage.lock().layers, now, pressure);
        for digest in gone {
            let store = self.layers.clone();
            let removed = tokio::task::spawn_blocking(move || store.remove(&digest)).await;
            match removed {
                Ok(Ok(_)) => {
                    tracing::info!(layer = %digest, "removed a layer that nobody uses");
                    self.usage.lock().layers.forget(&digest);
                }
                Ok(Err(error)) => tracing::warn!(%error, "removing a layer"),
                Err(_) => return,
            }
        }
    }

    async fn collect_contents(&self, used: &BTreeSet<Digest>, now: Moment, pressure: Pressure) {
        let content = self.content.clone();
        let list = move || Ok(content.list()?.map(|one| one.map(|info| info.digest)).collect());
        let present: Vec<Digest> = match tokio::task::spawn_blocking(list).await {
            Ok(Ok(Ok(present))) => present,
            Ok(Ok(Err(error)) | Err(error)) => {
                let error: image::ContentError = error;
                return tracing::warn!(%error, "listing contents");
            }
            Err(_) => return,
        };
        let gone = disposable(&present, used, &mut self.usage.lock().contents, now, pressure);
        for digest in gone {
            match self.content.delete(&digest) {
                Ok(_) => self.usage.lock().contents.forget(&digest),
                Err(error) => tracing::warn!(%error, "removing content"),
            }
        }
    }
}
