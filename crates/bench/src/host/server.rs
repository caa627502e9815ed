//! The least a server is to an agent: its stream, and a registry to read one image from.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use api::frame::{self, Decoder};
use api::protocol::{Down, Up};
use api::status::HostStatus;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use image::{ContentStore, Digest};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The largest blob of the image: busybox has 2 MiB.
const BLOB_BYTES: u64 = 64 << 20;

/// A report with the moment it was read.
pub(super) type Heard = Option<(Instant, HostStatus)>;

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    /// The agent's last report.
    pub(super) heard: watch::Receiver<Heard>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    content: ContentStore,
    heard: watch::Sender<Heard>,
    /// All that was said, so that a new stream hears it again.
    said: Mutex<Vec<Bytes>>,
    count: watch::Sender<usize>,
}

impl Server {
    /// Serves in the background of the present runtime; gives the address.
    pub(super) async fn start(
        tls: TlsAcceptor,
        content: ContentStore,
    ) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let (sender, heard) = watch::channel(None);
        let said = Mutex::default();
        let shared = Arc::new(Shared { content, heard: sender, said, count: watch::channel(0).0 });
        tokio::spawn(accept(listener, tls, shared.clone()));
        Ok((Self { heard, shared }, address))
    }

    /// Says something to the agent.
    pub(super) fn say(&self, down: &Down) -> Result<()> {
        let frame = frame::encode(down).context("make a frame")?;
        let mut said = self.shared.said.lock();
        said.push(frame.into());
        self.shared.count.send_replace(said.len());
        Ok(())
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), shared.clone());
        tokio::spawn(async move {
            // Small frames must not wait for each other.
            let _ = tcp.set_nodelay(true);
            let Ok(stream) = tls.accept(tcp).await else { return };
            let service = service_fn(move |request| answer(request, shared.clone()));
            let builder = auto::Builder::new(TokioExecutor::new());
            // The agent dials again when a stream breaks.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    Ok(match (request.method(), parts.as_slice()) {
        (&Method::POST, ["agent", "v1", "stream"]) => {
            tokio::spawn(listen(request.into_body(), shared.clone()));
            Response::new(StreamBody::new(frames(shared)).boxed_unsync())
        }
        (&Method::GET, ["v2", .., kind, digest]) => blob(&shared, kind, digest),
        _ => whole(StatusCode::NOT_FOUND, Bytes::new()),
    })
}

/// Everything said so far and from now on.
fn frames(
    shared: Arc<Shared>,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    stream::unfold((shared, 0), |(shared, next)| async move {
        shared.count.subscribe().wait_for(|count| *count > next).await.ok()?;
        let frame = shared.said.lock().get(next).cloned()?;
        Some((Ok(Frame::data(frame)), (shared, next + 1)))
    })
}

/// Reads the agent's frames until its stream ends.
async fn listen(mut body: Incoming, shared: Arc<Shared>) {
    let mut decoder = Decoder::new();
    while let Some(Ok(piece)) = body.frame().await {
        let Ok(data) = piece.into_data() else { continue };
        decoder.push(&data);
        while let Ok(Some(up)) = decoder.next::<Up>() {
            if let Up::Status(status) = up {
                shared.heard.send_replace(Some((Instant::now(), status)));
            }
        }
    }
}

fn blob(shared: &Shared, kind: &str, digest: &str) -> Response<Body> {
    let content = digest.parse::<Digest>().ok();
    let Some(Ok(content)) = content.map(|digest| shared.content.read(&digest, BLOB_BYTES)) else {
        return whole(StatusCode::NOT_FOUND, Bytes::new());
    };
    let mut response = whole(StatusCode::OK, content.into());
    if kind == "manifests" {
        let media = header::HeaderValue::from_static("application/vnd.oci.image.manifest.v1+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    response
}

fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response
}
