//! A client's connection from its first byte to its last: which protocol it speaks, and the
//! driving of it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use api::ingress::TcpListen;
use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{ClientState, Wish};
use super::handle::handle;
use super::io::{ClientIo, Prefixed, Transport};
use super::tcp;
use super::upstream::LocalExecutor;

/// How long a connection may be idle.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest request head: nginx takes 32 KiB (4 buffers of 8 KiB), HAProxy 16 KiB.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Requests a client may have under way on one HTTP/2 connection (RFC 9113 §6.5.2: not below 100).
const MAX_STREAMS: u32 = 256;

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A plain connection: HTTP/1.1, or HTTP/2 by prior knowledge.
pub(crate) async fn plain(client: Rc<ClientState>, mut stream: TcpStream) {
    let sniffed = tokio::time::timeout(IDLE_TIMEOUT, sniff(&mut stream)).await;
    let Ok(Some((multiplexed, prefix))) = sniffed else { return };
    client.note_read();
    let transport = Transport::Plain(Prefixed { prefix, stream });
    http(client, transport, multiplexed).await;
}

/// Reads until it is clear which protocol the client speaks: is it HTTP/2, and what was read.
async fn sniff(stream: &mut TcpStream) -> Option<(bool, Bytes)> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let compared = bytes.len().min(H2_PREFACE.len());
        if bytes[..compared] != H2_PREFACE[..compared] {
            return Some((false, bytes.freeze()));
        }
        if compared == H2_PREFACE.len() {
            return Some((true, bytes.freeze()));
        }
    }
}

/// A TLS connection: passed through when a TCP route claims its server name, else terminated.
pub(crate) async fn tls(client: Rc<ClientState>, stream: TcpStream) {
    let local = Rc::clone(&client.worker.local.borrow());
    let mut stream = Prefixed { prefix: Bytes::new(), stream };
    if let Some(matcher) = local.compiled.tcp.get(&TcpListen::Https) {
        let hello =
            tokio::time::timeout(client.worker.head_timeout, tcp::read_hello(&mut stream)).await;
        let Ok(Ok(name)) = hello else {
            client.worker.count_bad();
            return;
        };
        if let Some(route) = matcher.find(name.as_deref()) {
            tcp::pass(&client, &local, route, stream).await;
            return;
        }
    }
    drop(local);
    let accepting = client.worker.tls.accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(client.worker.head_timeout, accepting).await else {
        client.worker.count_bad();
        return;
    };
    let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    http(client, Transport::Tls(Box::new(stream)), multiplexed).await;
}

async fn http(client: Rc<ClientState>, transport: Transport, multiplexed: bool) {
    client.multiplexed.set(multiplexed);
    let io = ClientIo { transport, state: Rc::clone(&client) };
    if multiplexed {
        http2(client, io).await;
    } else {
        http1(client, io).await;
    }
}

/// How driving a connection ended.
enum Ended {
    Closed(bool),
    HeadTooLate,
    Cut,
}

async fn http1(client: Rc<ClientState>, io: ClientIo) {
    let service = service_fn(|request| {
        let client = Rc::clone(&client);
        async move { Ok::<_, Infallible>(handle(client, request).await) }
    });
    let mut connection = http1::Builder::new()
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(io), service);
    let mut finishing = false;
    let ended = poll_fn(|cx| {
        client.register(cx.waker());
        match client.wish.get() {
            Wish::Cut => return Poll::Ready(Ended::Cut),
            Wish::HeadTooLate => return Poll::Ready(Ended::HeadTooLate),
            Wish::Finish if !finishing => {
                finishing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Wish::Finish | Wish::None => {}
        }
        Pin::new(&mut connection).poll(cx).map(|result| Ended::Closed(result.is_ok()))
    })
    .await;
    match ended {
        Ended::Closed(fine) => {
            let tunnel = client.tunnel.borrow_mut().take();
            if let Some(tunnel) = tunnel {
                let parts = connection.into_parts();
                let io = parts.io.into_inner();
                Box::pin(tunnel.run(io, parts.read_buf, &client)).await;
            } else if !fine {
                client.worker.count_bad();
            }
        }
        Ended::HeadTooLate => {
            client.worker.count_bad();
            let mut io = connection.into_parts().io.into_inner();
            let text = "the request's head did not come in time\n";
            let answer = format!(
                "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
                content-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            let send = async {
                io.write_all(answer.as_bytes()).await?;
                io.shutdown().await
            };
            // Whoever is that slow may be gone; the answer is a courtesy.
            let _ = tokio::time::timeout(Duration::from_secs(1), send).await;
        }
        Ended::Cut => {}
    }
}

async fn http2(client: Rc<ClientState>, io: ClientIo) {
    let shared = Rc::clone(&client);
    let service = service_fn(move |request| {
        let client = Rc::clone(&shared);
        async move { Ok::<_, Infallible>(handle(client, request).await) }
    });
    let mut connection = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_header_list_size(32 * 1024)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(io), service);
    let mut finishing = false;
    let fine = poll_fn(|cx| {
        client.register(cx.waker());
        match client.wish.get() {
            Wish::Cut | Wish::HeadTooLate => return Poll::Ready(true),
            Wish::Finish if !finishing => {
                finishing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Wish::Finish | Wish::None => {}
        }
        Pin::new(&mut connection).poll(cx).map(|result| result.is_ok())
    })
    .await;
    if !fine {
        client.worker.count_bad();
    }
}
