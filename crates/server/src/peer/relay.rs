//! What one server asks another, on the connection that its stream is on.

use std::time::Duration;

use api::id::{AppName, HostId, ServerId};
use api::operation::AppStatus;
use api::protocol::{LogLine, LogRequest};
use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http2::SendRequest;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connect::PeerError;
use super::logs::{Asked, fetch};
use super::speak::chain;
use crate::core::PeerRelay;

/// How long the leader may take to say how an app is.
const STATUS_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of such an answer: 10,000 instances at 800 bytes.
const MAX_STATUS: usize = 8 << 20;

/// Asks one server.
pub(super) struct Relay {
    server: ServerId,
    address: String,
    sender: SendRequest<Body>,
}

impl Relay {
    pub(super) fn new(server: ServerId, address: String, sender: SendRequest<Body>) -> Self {
        Self { server, address, sender }
    }

    async fn fetch_status(&self, app: &AppName) -> Result<Vec<AppStatus>, PeerError> {
        let address = || self.address.clone();
        let body = serde_json::to_vec(app).expect("a name is JSON");
        let request = Request::post(format!("https://{}/peer/v1/status", self.address))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| PeerError::Address(address()))?;
        let failed = |error| PeerError::Http(address(), error);
        let answer = self.sender.clone().send_request(request).await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(PeerError::Refused(address(), answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_STATUS).collect().await;
        let body = body.map_err(|_| PeerError::Ended(address()))?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| PeerError::Answer(address()))
    }
}

#[async_trait]
impl PeerRelay for Relay {
    async fn status(&self, app: &AppName) -> Result<Vec<AppStatus>, String> {
        match timeout(STATUS_WITHIN, self.fetch_status(app)).await {
            Ok(fetched) => fetched.map_err(|error| chain(&error)),
            Err(_) => Err(format!("server {} does not answer", self.server)),
        }
    }

    fn ask(&self, host: HostId, request: LogRequest, lines: mpsc::Sender<LogLine>) {
        let LogRequest { instance, tail, follow, .. } = request;
        let asked = Asked { host, instance, tail, follow };
        let (server, address, sender) =
            (self.server.clone(), self.address.clone(), self.sender.clone());
        tokio::spawn(async move {
            // Cancel-safe: when the asker leaves, the rest of the answer is given up.
            let fetched = tokio::select! {
                () = lines.closed() => return,
                fetched = fetch(sender, &address, &asked, &lines) => fetched,
            };
            if let Err(error) = fetched {
                tracing::warn!(%server, error = chain(&error), "fetch log lines");
            }
        });
    }
}
