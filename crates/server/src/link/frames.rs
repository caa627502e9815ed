//! Frames out of the body of a request.

use api::frame::Decoder;
use axum::body::BodyDataStream;
use futures_util::StreamExt;

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The connection broke, as it does when a machine dies.
    #[error("the stream broke off: {0}")]
    Broken(String),
    /// What came is no frame.
    #[error("{0}")]
    Content(String),
}

/// Frames of a body.
pub(crate) struct Frames {
    body: BodyDataStream,
    decoder: Decoder,
}

impl Frames {
    pub(crate) fn new(body: BodyDataStream) -> Self {
        Self { body, decoder: Decoder::new() }
    }

    /// The next frame; none at the end of the body. After an error nothing more comes.
    pub(crate) async fn next<T: serde::de::DeserializeOwned>(
        &mut self,
    ) -> Option<Result<T, FrameError>> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Some(Err(FrameError::Content(error.to_string()))),
            }
            match self.body.next().await? {
                Ok(bytes) => self.decoder.push(&bytes),
                Err(error) => return Some(Err(FrameError::Broken(error.to_string()))),
            }
        }
    }
}
