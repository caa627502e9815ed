//! Fetching from other hosts: each is asked for what it was said to have, over a connection on
//! which both ends show their certificate. What comes is checked by who reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::id::HostId;
use api::warm::Source;
use arc_swap::ArcSwap;
use bytes::Bytes;
use clock::Clock;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use image::Digest;
use pki::{PeerIdentity, PeerRole, SwappableAuthorities, SwappableIdentity, member_tls};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting to a host may take, TLS included: others have the same.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// How long the head of an answer may take.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// How long a document may take as a whole.
const DOCUMENT_WITHIN: Duration = Duration::from_secs(10);

/// Why a host did not give what it was said to have.
#[derive(Debug, thiserror::Error)]
pub(super) enum NeighbourError {
    #[error("connect to host {0} at {1}")]
    Connect(HostId, SocketAddr, #[source] std::io::Error),
    #[error("set TLS up for host {0}: {1}")]
    Tls(HostId, String),
    #[error("ask host {0}: no answer in time")]
    Timeout(HostId),
    #[error("ask host {0}")]
    Http(HostId, #[source] hyper::Error),
    #[error("ask host {0}: it answered {1}")]
    Refused(HostId, StatusCode),
    #[error("ask host {0}: its answer is not what was asked for")]
    Content(HostId),
}

/// The other hosts.
pub struct Neighbours {
    authorities: Arc<SwappableAuthorities>,
    identity: Arc<SwappableIdentity>,
    cluster: String,
    clock: Clock,
    /// Who has which image.
    sources: ArcSwap<BTreeMap<api::digest::Digest, Vec<Source>>>,
}

impl Neighbours {
    /// Trusts hosts of `cluster` that `authorities` signed, and shows them `identity`.
    #[must_use]
    pub fn new(
        authorities: Arc<SwappableAuthorities>,
        identity: Arc<SwappableIdentity>,
        cluster: &str,
        clock: Clock,
    ) -> Self {
        let sources = ArcSwap::default();
        Self { authorities, identity, cluster: cluster.to_owned(), clock, sources }
    }

    /// From now on these hosts are asked.
    pub fn set_sources(&self, sources: BTreeMap<api::digest::Digest, Vec<Source>>) {
        self.sources.store(Arc::new(sources));
    }

    /// Who has an image.
    pub(super) fn of(&self, image: &Digest) -> Vec<Source> {
        let name: Option<api::digest::Digest> = image.to_string().parse().ok();
        let sources = self.sources.load();
        name.and_then(|name| sources.get(&name).cloned()).unwrap_or_default()
    }

    /// A document of an image, checked.
    pub(super) async fn document(
        &self,
        source: &Source,
        image: &Digest,
        digest: &Digest,
    ) -> Result<Vec<u8>, NeighbourError> {
        let body = self.get(source, image, digest).await?;
        let whole = Limited::new(body, image::manifest::MAX_DOCUMENT_BYTES).collect();
        let whole = timeout(DOCUMENT_WITHIN, whole).await;
        let whole = whole.map_err(|_| NeighbourError::Timeout(source.host.clone()))?;
        let bytes = whole.map_err(|_| NeighbourError::Content(source.host.clone()))?.to_bytes();
        if Digest::of(&bytes) != *digest {
            return Err(NeighbourError::Content(source.host.clone()));
        }
        Ok(bytes.into())
    }

    /// A part of an image as it was transferred, to be checked by who reads it.
    pub(super) async fn get(
        &self,
        source: &Source,
        image: &Digest,
        digest: &Digest,
    ) -> Result<Incoming, NeighbourError> {
        let host = &source.host;
        let dialled = timeout(CONNECT_WITHIN, self.connect(source)).await;
        let stream = dialled.map_err(|_| NeighbourError::Timeout(host.clone()))??;
        let failed = |error| NeighbourError::Http(host.clone(), error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to another host ended");
            }
        });
        let request = Request::get(format!("/images/{image}/{digest}"))
            .header(http::header::HOST, source.address.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|error| NeighbourError::Tls(host.clone(), error.to_string()))?;
        let answer = timeout(HEAD_WITHIN, sender.send_request(request)).await;
        let answer = answer.map_err(|_| NeighbourError::Timeout(host.clone()))?.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(NeighbourError::Refused(host.clone(), status)),
        }
    }

    async fn connect(
        &self,
        source: &Source,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, NeighbourError> {
        let host = &source.host;
        let bad = |error: String| NeighbourError::Tls(host.clone(), error);
        let expected = PeerIdentity::new(&self.cluster, PeerRole::Host, host.as_str());
        let expected = expected.map_err(|error| bad(error.to_string()))?;
        let alpn: &[&[u8]] = &[b"http/1.1"];
        let time = Some(Arc::new(self.clock.clone()) as _);
        let tls = member_tls(&self.authorities, self.identity.clone(), expected, alpn, time);
        let tls = tls.map_err(|error| bad(error.to_string()))?;
        let failed = |error| NeighbourError::Connect(host.clone(), source.address, error);
        let tcp = TcpStream::connect(source.address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let name = ServerName::IpAddress(source.address.ip().into());
        TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(failed)
    }
}
