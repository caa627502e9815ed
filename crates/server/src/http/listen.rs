//! Sockets and connections: TLS, HTTP/1.1 and HTTP/2, bounds on all of it, and a stop that lets
//! requests end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::error::ApiError;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use pki::{PeerIdentity, PeerRole, SwappableIdentity, key_of};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::core::Core;
use crate::link::Unwelcome;
use crate::oci::{PeerHost, Registry};
use crate::trust::Trust;

/// Connections at once: two of each of 5,000 hosts, and as many of people and tools as are likely,
/// at about 60 KiB each when idle: 1 GiB when all are there.
const MAX_CONNECTIONS: usize = 16_384;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long the head of a request may take on HTTP/1.1.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How often HTTP/2 connections are asked for a sign of life, and how long that may take.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// Streams at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1_000;

/// HTTP/2's flow-control windows: 1 MiB a stream, so that a pull fills a fast line; four such
/// streams a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes and number of a request's header lines: a token has 100 bytes, a proxy adds a few hundred.
const MAX_HEADER_BYTES: u32 = 64 << 10;
const MAX_HEADERS: usize = 100;

/// How long requests that are under way may go on when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Pause after the system could not give a connection: out of file descriptors, usually.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What serving needs beside the core.
pub struct Serving {
    /// The server's certificate.
    pub identity: Arc<SwappableIdentity>,
    /// Whose client certificates are accepted, and who signs them.
    pub trust: Arc<Trust>,
    /// The image registry.
    pub registry: Arc<Registry>,
}

/// Serves the API, the image registry and the agents until `stop`; then lets requests end for at
/// most five seconds.
pub async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    serving: Serving,
    stop: CancellationToken,
) {
    let (identity, clock) = (serving.identity.clone(), serving.trust.clock.clone());
    let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
    let tls = match serving.trust.authorities.server_tls(identity, alpn, Some(clock)) {
        Ok(tls) => TlsAcceptor::from(Arc::new(tls)),
        Err(error) => {
            tracing::error!(%error, "serve the API: its certificates are of no use");
            return;
        }
    };
    let router = super::router::router(&core, &serving, &stop);
    let door = Arc::new(Door { tls, router, core, stop: stop.clone() });
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Cancel-safe: accepting and waiting for a place both are.
        let (stream, address, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (door, cut) = (door.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = door.welcome(stream, address) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(STOP_WITHIN, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end and are cut off");
        cut.cancel();
        connections.wait().await;
    }
}

/// Waits for a place, then for a connection.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, place),
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What connections come through.
struct Door {
    tls: TlsAcceptor,
    router: Router,
    core: Arc<Core>,
    stop: CancellationToken,
}

impl Door {
    /// Serves one connection to its end.
    async fn welcome(&self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %address, "set a connection's options");
        }
        let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, self.tls.accept(stream));
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            shaken = shaken => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%error, %address, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            },
        };
        let (peer, unwelcome) = match self.peer(&stream) {
            Ok(peer) => (peer, None),
            Err(error) => (None, Some(Unwelcome(error))),
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let router = self.router.clone();
        let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(address));
            if let Some(peer) = &peer {
                if peer.role() == PeerRole::Host {
                    extensions.insert(PeerHost(peer.name().to_owned()));
                }
                extensions.insert(peer.clone());
            }
            if let Some(unwelcome) = &unwelcome {
                extensions.insert(unwelcome.clone());
            }
            router.clone().oneshot(Request::from(request.map(axum::body::Body::new)))
        });
        let builder = builder(http2);
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, %address, "a connection ended with an error");
        }
    }

    /// The member of this cluster that the peer's certificate names, verified by the handshake.
    ///
    /// # Errors
    /// Why it is no member any more.
    fn peer(&self, stream: &TlsStream<TcpStream>) -> Result<Option<PeerIdentity>, ApiError> {
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(certificate) = certificate else { return Ok(None) };
        match PeerIdentity::from_certificate(certificate) {
            Ok(peer) if peer.cluster() == self.core.cluster => {
                let Some(key) = key_of(certificate) else { return Ok(None) };
                match self.core.unwelcome(&peer, &key.to_string()) {
                    None => Ok(Some(peer)),
                    Some(error) => {
                        self.core.refused("member.refused", peer.name(), &error.message);
                        Err(error)
                    }
                }
            }
            Ok(peer) => {
                tracing::warn!(%peer, "a certificate of another cluster is passed over");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, "a client's certificate is passed over");
                Ok(None)
            }
        }
    }
}

/// How connections are served. TLS has agreed on the protocol, so no first bytes are guessed from.
fn builder(http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
