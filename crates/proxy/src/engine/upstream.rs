//! Connections to instances. HTTP/1.1 connections are driven by the request that uses them, in its
//! own task: no task of their own, no wake-ups across. HTTP/2 connections have a task each.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::endpoint::Endpoint;
use super::io::UpstreamIo;
use super::request_body::AttemptBody;

/// How long connecting may take before another instance is tried: far beyond a round trip inside
/// a data centre, below the time-out at which a SYN is sent again (1 s, RFC 6298 §2.1).
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// The most requests on one HTTP/2 connection before another is opened; what RFC 9113 §6.5.2
/// recommends servers to allow at least.
const STREAMS_PER_CONNECTION: u32 = 100;

/// Runs a connection's parts in the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Connects to an endpoint and registers the socket there.
pub(crate) async fn dial(endpoint: &Endpoint) -> io::Result<Rc<RefCell<TcpStream>>> {
    let connecting = TcpStream::connect(endpoint.address);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let socket = Rc::new(RefCell::new(stream));
    endpoint.register(&socket);
    Ok(socket)
}

/// An HTTP/1.1 connection that carries one request at a time.
pub(crate) struct H1Connection {
    pub(crate) sender: http1::SendRequest<AttemptBody>,
    driver: http1::Connection<TokioIo<UpstreamIo>, AttemptBody>,
    pub(crate) socket: Rc<RefCell<TcpStream>>,
    pub(crate) idle_since_ms: u64,
    /// Has carried a request before.
    pub(crate) reused: bool,
    ended: bool,
}

impl std::fmt::Debug for H1Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H1Connection").field("reused", &self.reused).finish_non_exhaustive()
    }
}

impl H1Connection {
    /// Connects.
    pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Box<Self>> {
        let socket = dial(endpoint).await?;
        let io = TokioIo::new(UpstreamIo { socket: Rc::clone(&socket) });
        let (sender, driver) =
            http1::Builder::new().handshake(io).await.map_err(io::Error::other)?;
        Ok(Box::new(Self { sender, driver, socket, idle_since_ms: 0, reused: false, ended: false }))
    }

    /// Moves bytes; ready when the connection has ended.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended {
            return Poll::Ready(());
        }
        let result = Pin::new(&mut self.driver).poll(cx);
        self.ended = result.is_ready();
        result.map(|_| ())
    }

    /// Moves what can be moved without waiting, so that nobody who used the connection before is
    /// woken for it; tells whether it can carry a request.
    pub(crate) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx).is_pending() && self.sender.is_ready()
    }

    /// Asks the kernel whether the instance has closed, for requests that must not be repeated.
    pub(crate) fn closed_by_peer(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let socket = self.socket.borrow();
        match socket2::SockRef::from(&*socket).peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// The stream and what was read beyond the response, after switching protocols.
    pub(crate) fn into_stream(self) -> (UpstreamIo, bytes::Bytes) {
        let parts = self.driver.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

/// An HTTP/2 connection, shared by the requests of one worker.
#[derive(Debug)]
pub(crate) struct H2Connection {
    sender: http2::SendRequest<AttemptBody>,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) used: Cell<bool>,
}

impl H2Connection {
    /// The least loaded connection with room, or a new one.
    pub(crate) async fn get(endpoint: &Endpoint) -> io::Result<Rc<Self>> {
        {
            let mut held = endpoint.multiplexed.borrow_mut();
            held.retain(|connection| !connection.is_closed());
            let least = held.iter().min_by_key(|connection| connection.in_flight.get());
            if let Some(connection) = least
                && connection.in_flight.get() < STREAMS_PER_CONNECTION
            {
                return Ok(Rc::clone(connection));
            }
        }
        let socket = dial(endpoint).await?;
        let io = TokioIo::new(UpstreamIo { socket });
        let (sender, driver) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .max_header_list_size(64 * 1024)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            // Its end shows in the sender.
            let _ = driver.await;
        });
        let connection = Rc::new(Self { sender, in_flight: Cell::new(0), used: Cell::new(false) });
        endpoint.multiplexed.borrow_mut().push(Rc::clone(&connection));
        Ok(connection)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) fn sender(&self) -> http2::SendRequest<AttemptBody> {
        self.sender.clone()
    }
}
