//! One HTTP/2 connection to one server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::Clock;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::{SwappableAuthorities, SwappableIdentity, TlsError};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::body::ChannelBody;

/// How long connecting may take, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Pings on a silent connection, and how long their answer may take.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(5);

/// Flow control windows: a document of 8 MiB in a few round trips.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// TLS could not be set up.
    #[error("set TLS up for servers")]
    Tls(#[from] TlsError),
    /// The server's name makes no sense.
    #[error("read server address {0:?}: expected HOST:PORT")]
    Address(String),
    /// No connection.
    #[error("connect to server {server}")]
    Connect {
        /// Which.
        server: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("connect to server {server}: no answer in time")]
    Timeout {
        /// Which.
        server: String,
    },
    /// The talk broke.
    #[error("speak with server {server}")]
    Http {
        /// Which.
        server: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// The server would not have us.
    #[error("speak with server {server}: it answered {status}: {why}")]
    Refused {
        /// Which.
        server: String,
        /// Its answer.
        status: http::StatusCode,
        /// What it said, with its hint; empty when that was not to be understood.
        why: String,
    },
    /// The server sent what we do not understand.
    #[error("read what server {server} sent")]
    Frame {
        /// Which.
        server: String,
        /// Why.
        #[source]
        source: api::frame::FrameError,
    },
    /// Not a word for a second.
    #[error("hear from server {server}: it was silent for too long")]
    Silent {
        /// Which.
        server: String,
    },
    /// A server that was tried has no store either.
    #[error("move to server {server}: it did not say that it has its store")]
    NoStore {
        /// Which.
        server: String,
    },
    /// The stream ended.
    #[error("speak with server {server}: it closed the stream")]
    Closed {
        /// Which.
        server: String,
    },
}

/// A connection to a server, from whose end only that server can read.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// How servers are reached.
#[async_trait]
pub trait Reach: Send + Sync {
    /// Connects to a server, `HOST:PORT`.
    ///
    /// # Errors
    /// It is out of reach, or is none of the cluster's servers.
    async fn reach(&self, server: &str) -> io::Result<Box<dyn Wire>>;
}

/// By TCP and TLS.
struct Tls(TlsConnector);

#[async_trait]
impl Reach for Tls {
    async fn reach(&self, server: &str) -> io::Result<Box<dyn Wire>> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "expected HOST:PORT");
        let (host, _) = server.rsplit_once(':').ok_or_else(bad)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| bad())?;
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        Ok(Box::new(self.0.connect(name, tcp).await?))
    }
}

/// Connects to servers with the agent's certificate.
#[derive(Clone)]
pub struct Dialer {
    reach: Arc<dyn Reach>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Dialer {
    /// Trusts `authorities` by `clock` and shows `identity`; both may be exchanged later.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(
        authorities: &Arc<SwappableAuthorities>,
        identity: Arc<SwappableIdentity>,
        clock: &Clock,
    ) -> Result<Self, LinkError> {
        let alpn: &[&[u8]] = &[b"h2"];
        let time = Some(Arc::new(clock.clone()) as _);
        let tls = authorities.client_tls(Some(identity), alpn, time)?;
        Ok(Self::over(Arc::new(Tls(TlsConnector::from(Arc::new(tls))))))
    }

    /// Reaches servers in another way.
    #[must_use]
    pub fn over(reach: Arc<dyn Reach>) -> Self {
        Self { reach }
    }

    pub(super) async fn dial(&self, server: &str) -> Result<SendRequest<ChannelBody>, LinkError> {
        let dialled = timeout(CONNECT_WITHIN, self.connect(server)).await;
        dialled.map_err(|_| LinkError::Timeout { server: server.to_owned() })?
    }

    async fn connect(&self, server: &str) -> Result<SendRequest<ChannelBody>, LinkError> {
        let failed = |source| LinkError::Connect { server: server.to_owned(), source };
        let stream = self.reach.reach(server).await.map_err(failed)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| LinkError::Http { server: server.to_owned(), source })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a server ended");
            }
        });
        Ok(sender)
    }
}
