//! One attempt of a request at one endpoint.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::endpoint::Endpoint;
use super::request_body::AttemptBody;
use super::response_body::{H2Lease, Source};
use super::upstream::{H1Connection, H2Connection};
use crate::decide::retry::Sent;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection.
    Unreachable,
    /// The connection broke before the response's head.
    Broken,
    /// No response head in time.
    Late,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) sent: Sent,
    /// On a connection that had carried requests before: it may have been closed for being idle,
    /// which says nothing about the instance.
    pub(crate) stale: bool,
    /// The request, when none of it was sent.
    pub(crate) request: Option<Box<Request<AttemptBody>>>,
}

/// A response's head with where its body comes from; after switching protocols the connection
/// is in the source and has nothing more to say as HTTP.
pub(crate) type Answer = (Response<()>, Source);

/// Sends over HTTP/1.1.
pub(crate) async fn h1(
    endpoint: &Endpoint,
    request: Request<AttemptBody>,
    repeatable: bool,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let mut connection = match take(endpoint, repeatable) {
        Some(connection) => connection,
        None => match H1Connection::open(endpoint).await {
            Ok(connection) => connection,
            Err(_) => return Err(unreachable(request)),
        },
    };
    let stale = connection.reused;
    let exchanged = tokio::time::timeout(timeout, exchange(&mut connection, request)).await;
    match exchanged {
        Ok(Ok(response)) => {
            let (parts, incoming) = response.into_parts();
            let source = Source::H1 { incoming, connection: Some(connection) };
            Ok((Response::from_parts(parts, ()), source))
        }
        Ok(Err(request)) => {
            let sent = if request.is_some() { Sent::Nothing } else { Sent::Perhaps };
            Err(Failure { kind: Kind::Broken, sent, stale, request })
        }
        Err(_) => {
            Err(Failure { kind: Kind::Late, sent: Sent::Perhaps, stale: false, request: None })
        }
    }
}

fn unreachable(request: Request<AttemptBody>) -> Failure {
    let request = Some(Box::new(request));
    Failure { kind: Kind::Unreachable, sent: Sent::Nothing, stale: false, request }
}

/// An idle connection that is still open as far as can be seen.
fn take(endpoint: &Endpoint, repeatable: bool) -> Option<Box<H1Connection>> {
    while let Some(mut connection) = endpoint.take_idle() {
        if connection.is_usable() && (repeatable || !connection.closed_by_peer()) {
            return Some(connection);
        }
    }
    None
}

/// Sends a request and waits for the response's head, driving the connection meanwhile. The error
/// is the request, if none of it was sent.
async fn exchange(
    connection: &mut H1Connection,
    request: Request<AttemptBody>,
) -> Result<Response<Incoming>, Option<Box<Request<AttemptBody>>>> {
    let mut answer = pin!(connection.sender.try_send_request(request));
    poll_fn(|cx| {
        let ended = connection.drive(cx).is_ready();
        // Only driving completes the answer: it needs no waker of its own.
        let mut quiet = Context::from_waker(Waker::noop());
        match answer.as_mut().poll(&mut quiet) {
            Poll::Ready(result) => Poll::Ready(result.map_err(recovered)),
            Poll::Pending if ended => Poll::Ready(Err(None)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn recovered(mut error: TrySendError<Request<AttemptBody>>) -> Option<Box<Request<AttemptBody>>> {
    error.take_message().map(Box::new)
}

/// Sends over HTTP/2.
pub(crate) async fn h2(
    endpoint: &Endpoint,
    request: Request<AttemptBody>,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let Ok(connection) = H2Connection::get(endpoint).await else {
        return Err(unreachable(request));
    };
    let lease = H2Lease::new(&connection);
    let stale = connection.used.replace(true);
    let mut sender = connection.sender();
    let send = async {
        if sender.ready().await.is_err() {
            return Err((Sent::Nothing, Some(Box::new(request))));
        }
        sender.try_send_request(request).await.map_err(|error| {
            let untouched = is_untouched(error.error());
            let request = recovered(error);
            let nothing = request.is_some() || untouched;
            (if nothing { Sent::Nothing } else { Sent::Perhaps }, request)
        })
    };
    match tokio::time::timeout(timeout, send).await {
        Ok(Ok(response)) => {
            let (parts, incoming) = response.into_parts();
            let source = Source::H2 { incoming, _connection: lease };
            Ok((Response::from_parts(parts, ()), source))
        }
        Ok(Err((sent, request))) => Err(Failure { kind: Kind::Broken, sent, stale, request }),
        Err(_) => {
            Err(Failure { kind: Kind::Late, sent: Sent::Perhaps, stale: false, request: None })
        }
    }
}

/// Whether the instance says that it did not process a stream: refused (RFC 9113 §8.7), or above
/// the last one that its GOAWAY names, which arrives as a graceful closing.
fn is_untouched(error: &hyper::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let reason = h2.reason();
            return reason == Some(h2::Reason::REFUSED_STREAM)
                || (h2.is_go_away() && h2.is_remote() && reason == Some(h2::Reason::NO_ERROR));
        }
        cause = error.source();
    }
    false
}

/// Waits until a connection that switched protocols has no more HTTP to say.
pub(crate) async fn switched(connection: &mut H1Connection) {
    poll_fn(|cx| connection.drive(cx)).await;
}
