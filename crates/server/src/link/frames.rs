//! Frames out of the body of a request.

use api::frame::Decoder;
use axum::body::BodyDataStream;
use futures_util::StreamExt;

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
    ) -> Option<Result<T, String>> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
            match self.body.next().await? {
                Ok(bytes) => self.decoder.push(&bytes),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }
}
