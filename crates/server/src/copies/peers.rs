//! Asking other servers for content and to keep it: one HTTP/2 connection to each, apart from the
//! stream on which they say who is alive, so that a large layer delays nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::id::ServerId;
use axum::body::{Body, Bytes};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as Answer;
use hyper::client::conn::http2::SendRequest;
use image::Digest;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::core::Core;
use crate::oci::{Incoming, RepositoryName, Wanted};
use crate::peer::{PeerDialer, PeerError};

/// The largest answer that is not content: names of a thousand contents take 130 KB.
const MAX_ANSWER: usize = 4 << 20;

/// Pieces between the connection and the disk.
const PIECES: usize = 16;

/// Content by digest and size, as servers write it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Named {
    pub(super) fn all(content: &[Wanted]) -> Vec<Self> {
        let named = |wanted: &Wanted| Self { digest: wanted.digest.to_string(), size: wanted.size };
        content.iter().map(named).collect()
    }

    /// What was named; digests that are none are passed over.
    pub(super) fn wanted(all: &[Self]) -> Vec<Wanted> {
        let wanted = |one: &Self| {
            let digest = one.digest.parse().ok()?;
            Some(Wanted { digest, size: one.size })
        };
        all.iter().filter_map(wanted).collect()
    }
}

/// Asks a server to have content.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Take {
    pub(super) content: Vec<Named>,
    /// Servers that have it, the best first.
    pub(super) from: Vec<ServerId>,
}

/// Asks which of this a server has not.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lacking {
    pub(super) content: Vec<Named>,
}

/// The connections to other servers.
pub(super) struct Peers {
    core: Arc<Core>,
    dialer: PeerDialer,
    connections: Mutex<BTreeMap<ServerId, SendRequest<Body>>>,
}

impl Peers {
    pub(super) fn new(core: Arc<Core>, dialer: PeerDialer) -> Self {
        Self { core, dialer, connections: Mutex::default() }
    }

    /// The other servers whose streams live.
    pub(super) fn reachable(&self) -> Vec<ServerId> {
        let view = self.core.view();
        let mut peers = self.core.agents.gathered.peers();
        peers.retain(|peer| {
            *peer != self.core.servers.me && view.servers.contains_key(peer.as_str())
        });
        peers
    }

    /// The servers to ask for content: those whose streams live, or all others when there is no
    /// stream yet.
    pub(super) fn to_ask(&self) -> Vec<ServerId> {
        let reachable = self.reachable();
        if !reachable.is_empty() {
            return reachable;
        }
        let view = self.core.view();
        let others = view.servers.values().map(|row| row.name.clone());
        others.filter(|server| *server != self.core.servers.me).collect()
    }

    /// Asks a server to fetch content; ready when it has all of it on its disk.
    pub(super) async fn take(&self, server: &ServerId, take: &Take) -> Result<(), PeerError> {
        self.post(server, "take", take).await.map(|_| ())
    }

    /// Asks which contents a server has not.
    pub(super) async fn lacking(
        &self,
        server: &ServerId,
        content: &[Wanted],
    ) -> Result<Vec<Wanted>, PeerError> {
        let asked = Lacking { content: Named::all(content) };
        let answer = self.post(server, "lacking", &asked).await?;
        let lacking: Lacking =
            serde_json::from_slice(&answer).map_err(|_| PeerError::Answer(server.to_string()))?;
        Ok(Named::wanted(&lacking.content))
    }

    /// The size of content on a server, where it has it.
    pub(super) async fn size(
        &self,
        server: &ServerId,
        repository: Option<&RepositoryName>,
        digest: &Digest,
    ) -> Result<Option<u64>, PeerError> {
        let path = content_path(repository, digest);
        let answer = self.send(server, Method::HEAD, &path, Body::empty()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => Ok(length(&answer)),
            status => Err(PeerError::Refused(server.to_string(), status)),
        }
    }

    /// Content of a server, where it has it.
    pub(super) async fn open(
        &self,
        server: &ServerId,
        repository: Option<&RepositoryName>,
        digest: &Digest,
    ) -> Result<Option<Incoming>, PeerError> {
        let path = content_path(repository, digest);
        let answer = self.send(server, Method::GET, &path, Body::empty()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            status => return Err(PeerError::Refused(server.to_string(), status)),
        }
        let size = length(&answer).ok_or_else(|| PeerError::Answer(server.to_string()))?;
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::spawn(pour(answer.into_body(), sender));
        Ok(Some(Incoming { size, pieces }))
    }

    async fn post(
        &self,
        server: &ServerId,
        what: &str,
        asked: &impl Serialize,
    ) -> Result<Bytes, PeerError> {
        let body = serde_json::to_vec(asked).expect("names and numbers are JSON");
        let path = format!("/peer/v1/images/{what}");
        let answer = self.send(server, Method::POST, &path, Body::from(body)).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| PeerError::Answer(server.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        Err(PeerError::Failed(server.to_string(), said))
    }

    async fn send(
        &self,
        server: &ServerId,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Response<Answer>, PeerError> {
        let view = self.core.view();
        let address = view.servers.get(server.as_str()).map(|row| row.address.clone());
        let address = address.ok_or_else(|| PeerError::Ended(server.to_string()))?;
        let known = self.connections.lock().get(server).filter(|c| !c.is_closed()).cloned();
        let mut sender = match known {
            Some(sender) => sender,
            None => {
                let sender = self.dialer.dial(server, &address).await?;
                self.connections.lock().insert(server.clone(), sender.clone());
                sender
            }
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{address}{path}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| PeerError::Address(address.clone()))?;
        let answer = sender.send_request(request).await;
        answer.map_err(|error| {
            self.connections.lock().remove(server);
            PeerError::Http(address, error)
        })
    }
}

fn content_path(repository: Option<&RepositoryName>, digest: &Digest) -> String {
    // Names and digests have no letters that a URL would need escaped.
    match repository {
        Some(repository) => format!("/peer/v1/images/content/{digest}?repository={repository}"),
        None => format!("/peer/v1/images/content/{digest}"),
    }
}

fn length(answer: &Response<Answer>) -> Option<u64> {
    answer.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Hands a body on; a failure is the last piece.
async fn pour(mut body: Answer, to: mpsc::Sender<std::io::Result<Bytes>>) {
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
            Err(error) => Err(std::io::Error::other(error)),
        };
        let failed = piece.is_err();
        if to.send(piece).await.is_err() || failed {
            return;
        }
    }
}
