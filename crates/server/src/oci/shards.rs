//! One lock per first byte of a digest, so that "place the content, then link it" and "nothing
//! links it, so delete it" never cross. Held on blocking threads only.

use image::Digest;
use parking_lot::{Mutex, MutexGuard};

/// Locks by digest.
pub(super) struct Shards(Box<[Mutex<()>; 256]>);

impl Shards {
    pub(super) fn new() -> Self {
        Self(Box::new([const { Mutex::new(()) }; 256]))
    }

    /// Waits until nobody else places or removes this content.
    pub(super) fn lock(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.0[usize::from(digest.as_bytes()[0])].lock()
    }
}
