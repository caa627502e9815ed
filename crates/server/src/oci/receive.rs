//! Taking content over from another registry of the cluster: straight to the disk, checked by its
//! digest, and at the same time to who asked for it. What nobody waits for any more goes on.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use image::{ContentError, Digest};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::cluster::Incoming;
use super::{Registry, RegistryError, RepositoryName};

/// Pieces on their way to the disk and to who asked: of at most 64 KiB each, so 1 MiB a fetch.
const PIECES: usize = 16;

/// Contents that are being taken over; one at a time each.
#[derive(Default)]
pub(super) struct Receiving {
    locks: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    /// Goes on when a client leaves.
    tasks: TaskTracker,
}

impl Receiving {
    /// Waits until nobody else takes this content over.
    pub(super) async fn turn(&self, digest: &Digest) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = self.locks.lock().entry(*digest).or_default().clone();
        let guard = lock.lock_owned().await;
        // What nobody else waits for is forgotten; two are held here: the map's and the guard's.
        self.locks.lock().retain(|_, lock| Arc::strong_count(lock) > 1);
        guard
    }
}

impl Registry {
    /// Stores content that another registry sends, checked. Where `repository` is given it is seen
    /// there then.
    ///
    /// # Errors
    /// The sender broke off, the content is other than its digest, or the disk is full; then
    /// nothing is kept.
    pub async fn receive(
        &self,
        digest: Digest,
        repository: Option<RepositoryName>,
        incoming: Incoming,
    ) -> Result<(), RegistryError> {
        let limit = self.inner().options.max_blob_bytes;
        if incoming.size > limit {
            let what = format!("content {digest}");
            return Err(RegistryError::TooLarge { what, limit });
        }
        let mut pieces = incoming.pieces;
        self.blocking(move |inner| {
            let failed = |source| {
                let doing = format!("taking over content {digest}");
                RegistryError::Content(ContentError::Io { doing, source })
            };
            let mut writer = inner.content.writer()?;
            while let Some(piece) = pieces.blocking_recv() {
                let piece = piece.map_err(failed)?;
                if writer.length() + piece.len() as u64 > incoming.size {
                    let what = format!("content {digest}");
                    return Err(RegistryError::TooLarge { what, limit: incoming.size });
                }
                writer.write_all(&piece).map_err(failed)?;
            }
            let _placed_and_linked = inner.shards.lock(&digest);
            writer.commit(Some(&digest))?;
            if let Some(repository) = &repository {
                inner.metadata.link_fetched(repository, &digest, inner.now())?;
            }
            Ok(())
        })
        .await
    }

    /// Stores content as it comes and gives it on at the same time. The copy that is given on ends
    /// with an error when the content is not what its digest names.
    pub(super) fn pass_on(
        &self,
        digest: Digest,
        repository: RepositoryName,
        incoming: Incoming,
        turn: tokio::sync::OwnedMutexGuard<()>,
    ) -> Body {
        let (asker, given) = mpsc::channel::<std::io::Result<Bytes>>(PIECES);
        let (disk, pieces) = mpsc::channel(PIECES);
        let Incoming { size, pieces: mut source } = incoming;
        let registry = self.clone();
        self.inner().receiving.tasks.spawn(async move {
            let stored = registry.receive(digest, Some(repository), Incoming { size, pieces });
            let fork = async {
                // The last piece is given on when the whole is known to be right.
                let mut held: Option<Bytes> = None;
                while let Some(piece) = source.recv().await {
                    let copy = piece.as_ref().map(Bytes::clone).ok();
                    let broken = piece.is_err();
                    if disk.send(piece).await.is_err() || broken {
                        break;
                    }
                    if let Some(before) = std::mem::replace(&mut held, copy) {
                        // An asker that left is no reason to stop.
                        let _ = asker.send(Ok(before)).await;
                    }
                }
                drop(disk);
                held
            };
            let (stored, last) = tokio::join!(stored, fork);
            let end = match stored {
                Ok(()) => last.map(Ok),
                Err(error) => {
                    tracing::warn!(%digest, %error, "take content over from another server");
                    Some(Err(std::io::Error::other(error.to_string())))
                }
            };
            if let Some(end) = end {
                let _ = asker.send(end).await;
            }
            drop(turn);
        });
        let stream = futures_util::stream::unfold(given, |mut given| async move {
            given.recv().await.map(|piece| (piece, given))
        });
        Body::from_stream(stream)
    }
}
