//! Request bodies on their way to an instance: streamed, limited, watched for standing still, and
//! remembered while small, so that a failed attempt can be repeated.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// How much of a body is remembered for another attempt. 64 KiB covers API calls; at the limit of
/// 20,000 connections a worker would hold 1.3 GiB if every client sent that much at once, but it
/// is the client's own bytes, freed with the response.
const MAX_REMEMBERED: usize = 64 * 1024;

/// Why a request's body ended early. Only the proxy's own reasons; the client's are boxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// More than the route allows.
    #[error("the request body is larger than the route allows")]
    TooLarge,
    /// The client stopped sending.
    #[error("the request body stood still")]
    Stalled,
    /// The client broke off.
    #[error("the client broke off the request body")]
    Broken,
}

/// A body shared by the attempts of one request.
#[derive(Debug)]
pub(crate) struct SharedBody {
    incoming: RefCell<Incoming>,
    seen: RefCell<Vec<Bytes>>,
    seen_bytes: Cell<usize>,
    /// All that was taken from the client is in `seen`.
    whole: Cell<bool>,
    limit: u64,
    stall: Duration,
    pub(crate) bytes: Cell<u64>,
    pub(crate) error: Cell<Option<BodyError>>,
    /// Trailers and the end are passed on once.
    finished: Cell<bool>,
    timer: RefCell<Option<Pin<Box<Sleep>>>>,
}

impl SharedBody {
    pub(crate) fn new(incoming: Incoming, limit: Option<u64>, stall: Duration) -> Rc<Self> {
        Rc::new(Self {
            incoming: RefCell::new(incoming),
            seen: RefCell::default(),
            seen_bytes: Cell::new(0),
            whole: Cell::new(true),
            limit: limit.unwrap_or(u64::MAX),
            stall,
            bytes: Cell::new(0),
            error: Cell::new(None),
            finished: Cell::new(false),
            timer: RefCell::new(None),
        })
    }

    /// Whether another attempt can send all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.get() && self.error.get().is_none()
    }

    fn remember(&self, data: &Bytes) {
        let total = self.seen_bytes.get() + data.len();
        if !self.whole.get() || total > MAX_REMEMBERED {
            self.whole.set(false);
            self.seen.borrow_mut().clear();
        } else {
            self.seen_bytes.set(total);
            self.seen.borrow_mut().push(data.clone());
        }
    }

    fn fail(&self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.error.set(Some(error));
        Poll::Ready(Some(Err(error)))
    }

    fn poll_new(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.finished.get() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut *self.incoming.borrow_mut()).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                *self.timer.borrow_mut() = None;
                if let Some(data) = frame.data_ref() {
                    let total = self.bytes.get() + data.len() as u64;
                    self.bytes.set(total);
                    if total > self.limit {
                        return self.fail(BodyError::TooLarge);
                    }
                    self.remember(data);
                } else {
                    self.whole.set(false);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => self.fail(BodyError::Broken),
            Poll::Ready(None) => {
                self.finished.set(true);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let mut timer = self.timer.borrow_mut();
                let timer = timer.get_or_insert_with(|| {
                    Box::pin(tokio::time::sleep_until(Instant::now() + self.stall))
                });
                if timer.as_mut().poll(cx).is_ready() {
                    return self.fail(BodyError::Stalled);
                }
                Poll::Pending
            }
        }
    }
}

/// One attempt's view of a request's body.
#[derive(Debug)]
pub(crate) enum AttemptBody {
    /// There is none.
    None,
    /// Replays what earlier attempts took, then goes on with the client's bytes.
    Shared { body: Rc<SharedBody>, next: usize },
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Shared { body, next } = self.get_mut() else { return Poll::Ready(None) };
        if let Some(data) = body.seen.borrow().get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let result = body.poll_new(cx);
        *next = body.seen.borrow().len();
        result
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Shared { body, next } => {
                *next >= body.seen.borrow().len()
                    && (body.finished.get() || body.incoming.borrow().is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Shared { body, next } => {
                let replay: usize = body.seen.borrow().iter().skip(*next).map(Bytes::len).sum();
                match body.incoming.borrow().size_hint().exact() {
                    Some(rest) => SizeHint::with_exact(rest + replay as u64),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
