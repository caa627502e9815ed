//! An instance: a hyper server whose answers depend on the path.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = BoxBody<Bytes, BoxError>;

/// A body whose frames are sent one by one; an error breaks the connection.
pub(crate) struct Frames(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl Frames {
    pub(crate) fn new() -> (mpsc::Sender<Result<Frame<Bytes>, BoxError>>, Self) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, Self(receiver))
    }
}

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

/// What an instance saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) heads: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An instance inside the test's process.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl App {
    /// Starts one in the test's runtime.
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        tokio::spawn(serve(listener, name.to_owned(), Arc::clone(&seen)));
        Self { address, seen }
    }
}

/// An instance as a process that can be killed.
#[derive(Debug)]
pub(crate) struct AppProcess {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl AppProcess {
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["role", "--exact", "--nocapture"])
            .env("PROXY_TEST_ROLE", "app")
            .env("PROXY_TEST_NAME", name)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { address, child }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for AppProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn main() {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let name = std::env::var("PROXY_TEST_NAME").unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve(
        TcpListener::from(stdin),
        name,
        Arc::default(),
    ));
}

async fn serve(listener: TcpListener, name: String, seen: Arc<Seen>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (name, seen) = (name.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (name, seen) = (name.clone(), Arc::clone(&seen));
                async move { answer(&name, &seen, request).await.ok_or("asked to break") }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// `None` closes the connection without an answer.
async fn answer(name: &str, seen: &Seen, request: Request<Incoming>) -> Option<Response<Body>> {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let mut words = path.trim_start_matches('/').split('/');
    let verb = words.next().unwrap_or("");
    let number: u64 = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(match verb {
        "echo" => echo(name, seen, request).await,
        "size" => Response::new(full(vec![b'x'; usize::try_from(number).unwrap()])),
        "status" => {
            let mut response = Response::new(full(format!("status {number}\n")));
            *response.status_mut() = StatusCode::from_u16(u16::try_from(number).unwrap()).unwrap();
            response
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            Response::new(full(format!("{name}\n")))
        }
        "break" => {
            let _ = request.into_body().collect().await;
            return None;
        }
        "half" => frames(vec![Ok(Frame::data("half".into())), Err("asked to break".into())]),
        "stall" => {
            let (sender, body) = Frames::new();
            tokio::spawn(async move {
                let _ = sender.send(Ok(Frame::data("first".into()))).await;
                sender.closed().await;
            });
            Response::new(body.boxed())
        }
        "drip" => frames((0..number).map(|n| Ok(Frame::data(format!("{n}\n").into()))).collect()),
        "bidi" => bidi(request),
        "switch" => switch(request),
        "hop" => hop(),
        _ => Response::new(full(format!("{name}\n"))),
    })
}

fn frames(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Response<Body> {
    let (sender, body) = Frames::new();
    tokio::spawn(async move {
        for frame in frames {
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    Response::new(body.boxed())
}

/// The request's head as the instance got it, and its body.
async fn echo(name: &str, seen: &Seen, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {} {:?} @{name}\n", parts.method, parts.uri, parts.version);
    for (key, value) in &parts.headers {
        text.push_str(&format!("{key}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    seen.heads.lock().unwrap().push(text.clone());
    text.push('\n');
    match body.collect().await {
        Ok(body) => text.push_str(&String::from_utf8_lossy(&body.to_bytes())),
        Err(error) => text.push_str(&format!("(body broke: {error})")),
    }
    Response::new(full(text))
}

/// Answers every message as it comes and ends with trailers, as a gRPC stream does.
fn bidi(request: Request<Incoming>) -> Response<Body> {
    let (sender, body) = Frames::new();
    let te = request.headers().get("te").cloned();
    tokio::spawn(async move {
        let mut incoming = request.into_body();
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Ok(data) = frame.into_data()
                && sender.send(Ok(Frame::data(data))).await.is_err()
            {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("seen-te", te.unwrap_or(HeaderValue::from_static("none")));
        let _ = sender.send(Ok(Frame::trailers(trailers))).await;
    });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

/// Switches to a protocol that says `welcome` first and then echoes.
fn switch(mut request: Request<Incoming>) -> Response<Body> {
    let Some(protocol) = request.headers().get("upgrade").cloned() else {
        return Response::new(full("no upgrade asked\n"));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(b"welcome ").await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(n) = stream.read(&mut buffer).await {
            if n == 0 || stream.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("upgrade", protocol);
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response
}

fn hop() -> Response<Body> {
    let mut response = Response::new(full("hop\n"));
    for (key, value) in [
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("x-kept", "1"),
    ] {
        response.headers_mut().insert(key, HeaderValue::from_static(value));
    }
    response
}
