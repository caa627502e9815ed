//! One HTTP/2 connection to one other server, whose certificate must name it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::id::ServerId;
use async_trait::async_trait;
use axum::body::Body;
use clock::Clock;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::{PeerIdentity, PeerRole, SwappableAuthorities, SwappableIdentity, TlsError};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting may take, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Pings on the connection, and how long their answer may take: a server that vanished is dialled
/// anew, so that it hears everything soon after it came back.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no connection to another server, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("read the server's address {0:?}: expected HOST:PORT")]
    Address(String),
    #[error("connect to {0}")]
    Connect(String, #[source] io::Error),
    #[error("connect to {0}: no answer in time")]
    Timeout(String),
    #[error("connect to {address}: server {expected} was expected there")]
    Stranger { address: String, expected: ServerId },
    #[error("speak with {0}")]
    Http(String, #[source] hyper::Error),
    #[error("speak with {0}: it answered {1}")]
    Refused(String, http::StatusCode),
    #[error("encode a word for another server")]
    Frame(#[from] api::frame::FrameError),
    #[error("speak with {0}: the stream ended")]
    Ended(String),
    #[error("ask server {0}: its answer can't be read")]
    Answer(String),
    #[error("ask server {0}: {1}")]
    Failed(String, String),
}

/// A connection to another server, from whose end only that server can read.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// How other servers are reached.
#[async_trait]
pub trait Reach: Send + Sync {
    /// Connects to a server at its address, `HOST:PORT`; none when another one is there.
    ///
    /// # Errors
    /// It is out of reach.
    async fn reach(&self, server: &ServerId, address: &str) -> io::Result<Option<Box<dyn Wire>>>;
}

/// By TCP and TLS.
struct Tls {
    connector: TlsConnector,
    cluster: String,
}

#[async_trait]
impl Reach for Tls {
    async fn reach(&self, server: &ServerId, address: &str) -> io::Result<Option<Box<dyn Wire>>> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "expected HOST:PORT");
        let (host, _) = address.rsplit_once(':').ok_or_else(bad)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| bad())?;
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream = self.connector.connect(name, tcp).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = certificate.and_then(|c| PeerIdentity::from_certificate(c).ok());
        let is_it = peer.is_some_and(|peer| {
            peer.role() == PeerRole::Server
                && peer.name() == server.as_str()
                && peer.cluster() == self.cluster
        });
        Ok(if is_it { Some(Box::new(stream)) } else { None })
    }
}

/// Connects to other servers with this server's certificate.
#[derive(Clone)]
pub struct PeerDialer {
    reach: Arc<dyn Reach>,
}

impl PeerDialer {
    /// Trusts `authorities` by `clock` and shows `identity`; both may be exchanged later.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(
        cluster: &str,
        authorities: &Arc<SwappableAuthorities>,
        identity: Arc<SwappableIdentity>,
        clock: &Clock,
    ) -> Result<Self, TlsError> {
        let alpn: &[&[u8]] = &[b"h2"];
        let time = Some(Arc::new(clock.clone()) as _);
        let connector =
            TlsConnector::from(Arc::new(authorities.client_tls(Some(identity), alpn, time)?));
        Ok(Self::over(Arc::new(Tls { connector, cluster: cluster.to_owned() })))
    }

    /// Reaches servers in another way.
    #[must_use]
    pub fn over(reach: Arc<dyn Reach>) -> Self {
        Self { reach }
    }

    /// Connects to a server.
    pub(crate) async fn dial(
        &self,
        server: &ServerId,
        address: &str,
    ) -> Result<SendRequest<Body>, PeerError> {
        let dialled = timeout(CONNECT_WITHIN, self.connect(server, address)).await;
        dialled.map_err(|_| PeerError::Timeout(address.to_owned()))?
    }

    async fn connect(
        &self,
        server: &ServerId,
        address: &str,
    ) -> Result<SendRequest<Body>, PeerError> {
        let failed = |error| PeerError::Connect(address.to_owned(), error);
        let Some(stream) = self.reach.reach(server, address).await.map_err(failed)? else {
            let (address, expected) = (address.to_owned(), server.clone());
            return Err(PeerError::Stranger { address, expected });
        };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(2 << 20)
            .initial_connection_window_size(8 << 20)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| PeerError::Http(address.to_owned(), error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to another server ended");
            }
        });
        Ok(sender)
    }
}
