//! Log lines of hosts whose streams another server holds: asked of it, on the connection to it.

use api::frame::Decoder;
use api::id::{HostId, InstanceId};
use api::protocol::LogLine;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::connect::PeerError;

/// What is asked of another server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) host: HostId,
    pub(super) instance: InstanceId,
    pub(super) tail: u32,
    pub(super) follow: bool,
}

/// Fetches lines from a server until there are no more, or nobody wants them.
pub(super) async fn fetch(
    mut sender: SendRequest<Body>,
    address: &str,
    asked: &Asked,
    lines: &mpsc::Sender<LogLine>,
) -> Result<(), PeerError> {
    let body = serde_json::to_vec(asked).expect("names and numbers are JSON");
    let request = Request::post(format!("https://{address}/peer/v1/logs"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|_| PeerError::Address(address.to_owned()))?;
    let failed = |error| PeerError::Http(address.to_owned(), error);
    let answer = sender.send_request(request).await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(PeerError::Refused(address.to_owned(), answer.status()));
    }
    let (mut body, mut decoder) = (answer.into_body(), Decoder::new());
    while let Some(piece) = body.frame().await {
        let Ok(data) = piece.map_err(failed)?.into_data() else { continue };
        decoder.push(&data);
        while let Some(line) = decoder.next::<LogLine>()? {
            if lines.send(line).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
