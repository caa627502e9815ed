//! Images that are about to be used: the time between finding an image and writing down who
//! uses it.

use std::collections::HashMap;
use std::sync::Arc;

use image::Digest;
use parking_lot::{Mutex, MutexGuard};

use super::{ImageUse, RepositoryName};

/// Keeps an image from being deleted while it lives.
///
/// Take it, resolve the image, write down who uses it, drop it: then no deletion can come between.
#[derive(Debug)]
#[must_use = "the image is held only as long as this lives"]
pub struct Hold {
    holds: Arc<Holds>,
    key: (RepositoryName, Digest),
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.holds.0.lock();
        state.released += 1;
        if let Some(count) = state.held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.key);
            }
        }
    }
}

/// All holds.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<State>);

/// The holds that live, and how many do no more.
#[derive(Debug, Default)]
pub(super) struct State {
    held: HashMap<(RepositoryName, Digest), usize>,
    /// While this stands still, what was in use before still is: it was held, or written down.
    pub(super) released: u64,
}

impl State {
    /// The held images as images in use.
    pub(super) fn uses(&self) -> impl Iterator<Item = ImageUse> + '_ {
        self.held.keys().map(|(repository, digest)| ImageUse {
            repository: Some(repository.clone()),
            digest: *digest,
            user: "a release that is being made".to_owned(),
        })
    }
}

impl Holds {
    pub(super) fn hold(self: &Arc<Self>, repository: RepositoryName, digest: Digest) -> Hold {
        let key = (repository, digest);
        *self.0.lock().held.entry(key.clone()).or_default() += 1;
        Hold { holds: Arc::clone(self), key }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}
