//! One GET whose status is all that matters.

use std::pin::pin;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// The most bytes of a response head that are read.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Asks by HTTP/1.1 and gives the status.
pub(super) async fn get(stream: TcpStream, authority: &str, path: &str) -> Result<u16, String> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(told)?;
    let request = request(path).header(http::header::HOST, authority);
    let request = request.header(http::header::CONNECTION, "close").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    finish(sender.send_request(request), connection).await
}

/// Asks by HTTP/2 with prior knowledge and gives the status.
pub(super) async fn get_h2(stream: TcpStream, authority: &str, path: &str) -> Result<u16, String> {
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(told)?;
    let uri = format!("http://{authority}{path}");
    let request = request(&uri).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    finish(sender.send_request(request), connection).await
}

/// Drives the connection until there is an answer. A connection that ends may have brought one just
/// before, so the answer is asked for once more then; it fails by itself when none came.
async fn finish<B>(
    asked: impl Future<Output = hyper::Result<http::Response<B>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<u16, String> {
    let mut asked = pin!(asked);
    let answer = tokio::select! {
        answer = &mut asked => answer,
        _ = connection => asked.await,
    };
    answer.map(|head| head.status().as_u16()).map_err(told)
}

fn request(uri: &str) -> http::request::Builder {
    Request::get(uri).header(http::header::USER_AGENT, "freehold-health")
}

/// The innermost cause, which is the one that says something ("connection reset").
#[expect(clippy::needless_pass_by_value, reason = "used as the function of map_err")]
fn told(error: hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
