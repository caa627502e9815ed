//! Bodies in pieces: into uploads, out of blobs, and small ones whole.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt;
use image::content::BlobReader;

use crate::oci::session::Session;
use crate::oci::{Registry, RegistryError};

/// Bytes handed to the disk at once: large enough that the change of threads does not matter. It
/// may be passed by one frame of HTTP, some 400 KB at most.
const BATCH: usize = 256 * 1024;

/// A body being received.
pub(super) struct Incoming {
    stream: BodyDataStream,
    idle: Duration,
    what: String,
}

impl Incoming {
    pub(super) fn new(body: Body, idle: Duration, what: String) -> Self {
        Self { stream: body.into_data_stream(), idle, what }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let stopped = |how| RegistryError::Interrupted { what: self.what.clone(), how };
        match tokio::time::timeout(self.idle, self.stream.next()).await {
            Err(_) => Err(stopped("sent nothing for too long")),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(stopped("broke off")),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        }
    }

    /// The whole body, if it is not over `limit` bytes.
    pub(super) async fn whole(mut self, limit: usize) -> Result<Vec<u8>, RegistryError> {
        let mut content = Vec::new();
        while let Some(bytes) = self.next().await? {
            if content.len() + bytes.len() > limit {
                let limit = limit as u64;
                return Err(RegistryError::TooLarge { what: self.what, limit });
            }
            content.extend_from_slice(&bytes);
        }
        Ok(content)
    }
}

/// How much an upload may get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most bytes of the whole blob.
    pub(super) blob: u64,
    /// What this chunk's range says it has.
    pub(super) chunk: Option<u64>,
}

/// Adds a body to an upload, which keeps what came also when the body ends early. Gives the session
/// back when all came and is on disk.
pub(super) async fn receive(
    registry: &Registry,
    mut session: Session,
    mut body: Incoming,
    limits: Limits,
) -> Result<Session, RegistryError> {
    let (start, id) = (session.offset(), session.id);
    let mut taken = 0;
    let mut batch = Vec::with_capacity(BATCH);
    let ended = loop {
        let bytes = match body.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        taken += bytes.len() as u64;
        if limits.chunk.is_some_and(|declared| taken > declared) {
            taken = u64::MAX;
            break Ok(());
        }
        if start + taken > limits.blob {
            break Err(RegistryError::TooLarge {
                what: format!("upload {id}"),
                limit: limits.blob,
            });
        }
        batch.extend_from_slice(&bytes);
        if batch.len() >= BATCH {
            (session, batch) = append(registry, session, batch).await?;
        }
    };
    (session, _) = append(registry, session, batch).await?;
    ended?;
    match limits.chunk {
        Some(declared) if taken != declared => {
            Err(RegistryError::ChunkLength { id: id.to_string(), declared })
        }
        _ => registry.blocking(move |_| Ok(session.sync().map(|()| session)?)).await,
    }
}

async fn append(
    registry: &Registry,
    mut session: Session,
    mut batch: Vec<u8>,
) -> Result<(Session, Vec<u8>), RegistryError> {
    registry
        .blocking(move |_| {
            session.append(&batch)?;
            batch.clear();
            Ok((session, batch))
        })
        .await
}

/// A body that is read from the disk as the client takes it.
pub(crate) fn outgoing(reader: BlobReader) -> Body {
    let stream = futures_util::stream::try_unfold(reader, |mut reader| async move {
        let read = tokio::task::spawn_blocking(move || {
            let most = usize::try_from(reader.left()).unwrap_or(BATCH).min(BATCH);
            let mut piece = vec![0; most];
            reader.read_exact(&mut piece).map(|()| (piece, reader))
        });
        let (piece, reader) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), reader)))
    });
    Body::from_stream(stream)
}
