//! The answer to a request for log lines: a request of our own whose body is the lines.

use api::protocol::LogLine;
use bytes::Bytes;
use http::Request;
use tokio::sync::mpsc;

use super::body::ChannelBody;
use super::connect::{Dialer, LinkError};
use super::stream::refused;

/// Pieces on their way: of at most 256 lines each.
const PIECES: usize = 8;

/// Where lines are put; fails once the server has closed the stream.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Bytes>);

impl BodySender {
    /// Sends lines; false when nobody wants them any more.
    pub async fn send(&self, lines: &[LogLine]) -> bool {
        let mut bytes = Vec::new();
        for line in lines {
            match api::frame::encode(line) {
                Ok(frame) => bytes.extend(frame),
                Err(error) => tracing::warn!(%error, "left a log line out"),
            }
        }
        self.0.send(bytes.into()).await.is_ok()
    }

    /// Waits until nobody wants lines any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// Opens the answer to request `id` on a connection of its own and lets `write` put lines into it.
///
/// # Errors
/// The server cannot be reached.
pub async fn send_logs<W, F>(
    dialer: &Dialer,
    server: &str,
    id: &str,
    write: W,
) -> Result<(), LinkError>
where
    W: FnOnce(BodySender) -> F,
    F: Future<Output = ()>,
{
    let mut sender = dialer.dial(server).await?;
    let (pieces, body) = mpsc::channel(PIECES);
    let request = Request::post(format!("https://{server}/agent/v1/logs/{id}"))
        .header(http::header::CONTENT_TYPE, "application/vnd.freehold.frames")
        .body(ChannelBody(body))
        .map_err(|_| LinkError::Address(server.to_owned()))?;
    let asked = sender.send_request(request);
    let written = write(BodySender(pieces));
    let (answer, ()) = tokio::join!(asked, written);
    let failed = |source| LinkError::Http { server: server.to_owned(), source };
    let answer = answer.map_err(failed)?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(refused(server.to_owned(), answer).await)
}
