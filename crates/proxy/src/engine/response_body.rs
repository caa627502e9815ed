//! Response bodies on their way to the client. A body carries the connection it comes from, drives
//! it, and gives it back when the last byte is through; it carries the request's ticket too, so
//! that the request is accounted for when its response ends, however it ends.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::ticket::Ticket;
use super::upstream::{H1Connection, H2Connection};

/// Why a response broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResponseError {
    /// The instance closed or sent nonsense.
    #[error("the instance broke off its response")]
    Broken,
    /// The instance stopped sending.
    #[error("the response stood still")]
    Stalled,
}

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    Empty,
    Text(Bytes),
    H1 { incoming: Incoming, connection: Option<Box<H1Connection>> },
    H2 { incoming: Incoming, _connection: H2Lease },
}

/// A request's place on an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct H2Lease(Rc<H2Connection>);

impl H2Lease {
    pub(crate) fn new(connection: &Rc<H2Connection>) -> Self {
        connection.in_flight.set(connection.in_flight.get() + 1);
        Self(Rc::clone(connection))
    }
}

impl Drop for H2Lease {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// A response's body.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    ticket: Option<Box<Ticket>>,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    pub(crate) fn new(source: Source, ticket: Box<Ticket>, stall: Duration) -> Self {
        let mut body = Self { source, ticket: Some(ticket), stall, timer: None };
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// A body of the proxy's own.
    pub(crate) fn text(text: Bytes, mut ticket: Box<Ticket>) -> Self {
        ticket.bytes_out = text.len() as u64;
        ticket.complete = true;
        Self {
            source: if text.is_empty() { Source::Empty } else { Source::Text(text) },
            ticket: Some(ticket),
            stall: Duration::ZERO,
            timer: None,
        }
    }

    /// No body and no ticket: the request goes on as a tunnel.
    pub(crate) fn nothing() -> Self {
        Self { source: Source::Empty, ticket: None, stall: Duration::ZERO, timer: None }
    }

    /// The last byte is through: the connection goes back, the request is accounted for.
    fn finish(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Empty);
        let Some(mut ticket) = self.ticket.take() else { return };
        ticket.complete = true;
        if let Source::H1 { connection: Some(mut connection), incoming } = source {
            drop(incoming);
            if connection.is_usable()
                && let Some(lease) = &ticket.lease
            {
                connection.reused = true;
                connection.idle_since_ms = ticket.client.worker.clock.coarse_ms();
                lease.endpoint.give_back(connection);
            }
        }
    }

    fn fail(&mut self, error: ResponseError) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        if let Some(ticket) = &mut self.ticket {
            ticket.error = Some(match error {
                ResponseError::Broken => "response broken off",
                ResponseError::Stalled => "response stalled",
            });
        }
        self.source = Source::Empty;
        self.ticket = None;
        Poll::Ready(Some(Err(error)))
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Source::H2 { incoming, .. } => Pin::new(incoming).poll_frame(cx),
            Source::H1 { incoming, connection } => {
                // Driving first fills the body's channel; nothing else ever does, so the channel
                // needs no waker. Asking it may let the connection read on: hence the second round.
                let mut quiet = Context::from_waker(Waker::noop());
                for _ in 0..2 {
                    let ended = connection.as_mut().is_none_or(|c| c.drive(cx).is_ready());
                    let polled = Pin::new(&mut *incoming).poll_frame(&mut quiet);
                    if polled.is_ready() {
                        return polled;
                    }
                    if ended {
                        // An ended connection has said all it will; nobody would wake us.
                        *connection = None;
                        return Pin::new(incoming).poll_frame(cx);
                    }
                }
                Poll::Pending
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = self.get_mut();
        match this.poll_source(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer = None;
                if let (Some(data), Some(ticket)) = (frame.data_ref(), &mut this.ticket)
                    && !matches!(this.source, Source::Text(_))
                {
                    ticket.bytes_out += data.len() as u64;
                }
                if this.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this.fail(ResponseError::Broken),
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let stall = this.stall;
                let timer = this.timer.get_or_insert_with(|| {
                    Box::pin(tokio::time::sleep_until(Instant::now() + stall))
                });
                if timer.as_mut().poll(cx).is_ready() {
                    return this.fail(ResponseError::Stalled);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Text(text) => text.is_empty(),
            Source::H1 { incoming, .. } | Source::H2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::H1 { incoming, .. } | Source::H2 { incoming, .. } => incoming.size_hint(),
        }
    }
}
