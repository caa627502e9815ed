//! Giving images to other hosts: those that the servers named for an image get its documents and
//! layers as they were transferred, a few at a time. Nobody else gets anything.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::id::HostId;
use arc_swap::ArcSwap;
use bytes::Bytes;
use clock::Clock;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use image::Digest;
use image::content::BlobReader;
use pki::{PeerIdentity, PeerRole, SwappableAuthorities, SwappableIdentity, TlsError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Images;

/// Askers served at once; more are told to ask elsewhere.
const ASKERS: usize = 4;

/// Connections at once, those that only shake hands included.
const CONNECTIONS: usize = 32;

/// How long a handshake, and then the head of a request, may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Bytes read from the disk at once.
const PIECE: usize = 256 << 10;

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Who may fetch which image here.
pub type Askers = BTreeMap<api::digest::Digest, Vec<HostId>>;

/// Gives images to other hosts.
pub struct Giver {
    images: Arc<Images>,
    cluster: String,
    tls: TlsAcceptor,
    askers: ArcSwap<Askers>,
    turns: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Giver {
    /// Gives images of this host to hosts of `cluster`.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(
        images: Arc<Images>,
        authorities: &Arc<SwappableAuthorities>,
        identity: Arc<SwappableIdentity>,
        cluster: &str,
        clock: &Clock,
    ) -> Result<Arc<Self>, TlsError> {
        let time = Some(Arc::new(clock.clone()) as _);
        let tls = authorities.server_tls(identity, &[b"http/1.1"], time)?;
        Ok(Arc::new(Self {
            images,
            cluster: cluster.to_owned(),
            tls: TlsAcceptor::from(Arc::new(tls)),
            askers: ArcSwap::default(),
            turns: Arc::new(Semaphore::new(ASKERS)),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        }))
    }

    /// From now on these hosts are let in.
    pub fn set_askers(&self, askers: Askers) {
        self.askers.store(Arc::new(askers));
    }

    /// Listens for askers.
    ///
    /// # Errors
    /// The address is in use or not of this host.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    /// Serves until dropped.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok(place) = self.connections.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let giver = self.clone();
                    tokio::spawn(async move {
                        giver.welcome(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept another host's connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn welcome(self: Arc<Self>, stream: TcpStream) {
        let Ok(Ok(stream)) = timeout(WITHIN, self.tls.accept(stream)).await else { return };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = certificate.and_then(|c| PeerIdentity::from_certificate(c).ok());
        let host = peer
            .filter(|peer| peer.role() == PeerRole::Host && peer.cluster() == self.cluster)
            .and_then(|peer| HostId::new(peer.name()).ok());
        let giver = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (giver, host) = (giver.clone(), host.clone());
            async move { Ok::<_, Infallible>(giver.answer(host.as_ref(), &request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(WITHIN)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "another host's connection ended");
        }
    }

    async fn answer(&self, host: Option<&HostId>, request: &Request<Incoming>) -> Answer {
        let Some((image, part)) = parse(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND);
        };
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(host) = host.filter(|host| self.lets_in(host, &image)) else {
            tracing::warn!(host = ?host, %image, "another host asked for an image that is not its");
            return plain(StatusCode::FORBIDDEN);
        };
        let Ok(turn) = self.turns.clone().try_acquire_owned() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        };
        match self.images.part(image, part).await {
            Some(reader) => {
                tracing::debug!(%host, %image, %part, "giving a part of an image");
                body(reader, turn)
            }
            None => plain(StatusCode::NOT_FOUND),
        }
    }

    fn lets_in(&self, host: &HostId, image: &Digest) -> bool {
        let name: Option<api::digest::Digest> = image.to_string().parse().ok();
        let askers = self.askers.load();
        name.and_then(|name| askers.get(&name).map(|hosts| hosts.contains(host))).unwrap_or(false)
    }
}

/// `/images/IMAGE/PART`
fn parse(path: &str) -> Option<(Digest, Digest)> {
    let (image, part) = path.strip_prefix("/images/")?.split_once('/')?;
    Some((image.parse().ok()?, part.parse().ok()?))
}

fn plain(status: StatusCode) -> Answer {
    let empty = Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(empty);
    *answer.status_mut() = status;
    answer
}

/// What is left of a blob, read as the asker takes it; the turn ends with it.
fn body(reader: BlobReader, turn: OwnedSemaphorePermit) -> Answer {
    let length = reader.left();
    let pieces = stream::try_unfold((reader, turn), |(mut reader, turn)| async move {
        let read = tokio::task::spawn_blocking(move || {
            let most = usize::try_from(reader.left()).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; most];
            reader.read_exact(&mut piece).map(|()| (piece, reader))
        });
        let (piece, reader) = read.await.map_err(io::Error::other)??;
        let more = !piece.is_empty();
        Ok::<_, io::Error>(more.then(|| (Frame::data(Bytes::from(piece)), (reader, turn))))
    });
    let mut answer = Response::new(StreamBody::new(pieces).boxed_unsync());
    answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_images_have_paths() {
        let (image, part) = (Digest::of(b"image"), Digest::of(b"part"));
        assert_eq!(parse(&format!("/images/{image}/{part}")), Some((image, part)));
        for bad in ["", "/", "/images/", "/images/x/y", "/images/../etc", "/v2/"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&format!("/images/{image}/{part}/x")), None);
    }
}
