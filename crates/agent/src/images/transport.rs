//! One HTTP request to a registry: over TLS or not, directly or through a proxy. A connection
//! serves one request; layers are large and few, and nothing is left idle.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting may take, names and TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long the head of an answer may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// The most bytes of a proxy's answer to CONNECT.
const MAX_CONNECT_ANSWER: usize = 8 << 10;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The address makes no sense.
    #[error("read address {0:?}")]
    Address(String),
    /// No connection.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The proxy would not connect us.
    #[error("connect to {address} through the proxy: it answered {answer:?}")]
    Proxy {
        /// Where to.
        address: String,
        /// Its first line.
        answer: String,
    },
    /// The talk broke.
    #[error("ask {address}")]
    Http {
        /// Whom.
        address: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// Nothing came in time.
    #[error("ask {address}: no answer in time")]
    Timeout {
        /// Whom.
        address: String,
    },
}

impl TransportError {
    /// Whether asking again may help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

/// How to reach hosts.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// A proxy's `host:port`.
    pub proxy: Option<String>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Transport {
    /// Asks once, without a body.
    pub(super) async fn send(
        &self,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, TransportError> {
        let target = Target::of(uri)?;
        let timed_out = || TransportError::Timeout { address: target.authority.clone() };
        let connecting = timeout(CONNECT_WITHIN, self.connect(&target));
        let stream = connecting.await.map_err(|_| timed_out())??;
        let failed = |source| TransportError::Http { address: target.authority.clone(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a registry ended");
            }
        });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let through_proxy = !target.tls && self.proxy.is_some();
        let path = if through_proxy { uri.to_string() } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
        }
        let request = request
            .header(http::header::HOST, &target.authority)
            .header(http::header::USER_AGENT, concat!("freehold/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|_| TransportError::Address(uri.to_string()))?;
        let answer = timeout(HEAD_WITHIN, sender.send_request(request)).await;
        answer.map_err(|_| timed_out())?.map_err(failed)
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, TransportError> {
        let address = || target.address();
        let failed = |source| TransportError::Connect { address: address(), source };
        let first = self.proxy.clone().unwrap_or_else(address);
        let mut tcp = TcpStream::connect(&first).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        if !target.tls {
            return Ok(Box::new(tcp));
        }
        if self.proxy.is_some() {
            tunnel(&mut tcp, &address()).await?;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| TransportError::Address(target.host.clone()))?;
        let connector = TlsConnector::from(self.tls.clone());
        Ok(Box::new(connector.connect(name, tcp).await.map_err(failed)?))
    }
}

/// Asks an HTTP proxy for a way through (RFC 9110 §9.3.6).
async fn tunnel(proxy: &mut TcpStream, address: &str) -> Result<(), TransportError> {
    let failed = |source| TransportError::Connect { address: address.to_owned(), source };
    let ask = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    proxy.write_all(ask.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_CONNECT_ANSWER {
        answer.push(proxy.read_u8().await.map_err(failed)?);
    }
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let through = words.next().is_some_and(|word| word.starts_with("HTTP/1."))
        && words.next().is_some_and(|status| status.starts_with('2'));
    if through {
        return Ok(());
    }
    let answer = line.chars().take(200).collect();
    Err(TransportError::Proxy { address: address.to_owned(), answer })
}

/// Whom a URI names.
#[derive(Debug, Clone)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, TransportError> {
        let bad = || TransportError::Address(uri.to_string());
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let authority = match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        Ok(Self { tls, host, port, authority })
    }

    fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Whether an answer sends the asker on (RFC 9110 §15.4).
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
