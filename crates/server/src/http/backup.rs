//! The backup of the store, as a download.

use std::io;
use std::sync::Arc;

use api::error::ApiError;
use bytes::Bytes;
use futures_util::StreamExt;
use store::Store;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinHandle;

use super::endpoint::Call;
use super::gives::Download;

/// Bytes between the writer of a backup and who reads it.
const PIPE: usize = 64 << 10;

type Written = JoinHandle<Result<(), store::backup::BackupError>>;

pub(super) async fn download(call: Call) -> Result<Download, ApiError> {
    tracing::info!(by = call.caller.name, "a backup is taken");
    let (reader, mut writer) = tokio::io::duplex(PIPE);
    let store: Arc<dyn Store> = call.core.store.clone();
    // It ends by itself when nobody reads any more: writing fails then.
    let written: Written = tokio::spawn(async move {
        store::backup::backup(store.as_ref(), &mut writer).await.map(|_| ())
    });
    let pieces = futures_util::stream::unfold(Some((reader, written)), |state| async move {
        let (reader, written) = state?;
        next(reader, written).await
    });
    Ok(Download(pieces.boxed()))
}

/// The next piece; after the last one an error if writing did not come to its end.
async fn next(
    mut reader: DuplexStream,
    written: Written,
) -> Option<(io::Result<Bytes>, Option<(DuplexStream, Written)>)> {
    let mut buffer = bytes::BytesMut::with_capacity(PIPE);
    match reader.read_buf(&mut buffer).await {
        Ok(0) => match written.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "write a backup");
                Some((Err(io::Error::other(error)), None))
            }
            Err(error) => Some((Err(io::Error::other(error)), None)),
        },
        Ok(_) => Some((Ok(buffer.freeze()), Some((reader, written)))),
        Err(error) => Some((Err(error), None)),
    }
}
