//! One end of a connection: bytes that were delivered wait in it, bytes that are written leave the
//! node.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::place::{ConnId, Out, Place, Side};

/// Bytes of one direction that may be on their way: what sockets buffer.
const WINDOW: usize = 1 << 20;

/// The world's hand on an end.
#[derive(Default)]
pub(super) struct End {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    here: BytesMut,
    /// Nothing comes any more; true when it was cut off.
    closed: Option<bool>,
    /// Bytes of ours that are on their way.
    under_way: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    /// Bytes have come.
    pub(super) fn deliver(&self, bytes: &Bytes) {
        let mut state = self.state.lock();
        state.here.extend_from_slice(bytes);
        wake(state.reader.take());
    }

    /// So many of our bytes have arrived.
    pub(super) fn arrived(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.under_way = state.under_way.saturating_sub(bytes);
        wake(state.writer.take());
    }

    /// The other end is gone: closed, or cut off.
    pub(super) fn end(&self, cut: bool) {
        let mut state = self.state.lock();
        state.closed.get_or_insert(cut);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().for_each(wake);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A node's end of a connection.
pub(super) struct Pipe {
    place: Place,
    conn: ConnId,
    side: Side,
    end: Arc<End>,
}

impl Pipe {
    pub(super) fn new(place: Place, conn: ConnId, side: Side, end: Arc<End>) -> Self {
        Self { place, conn, side, end }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.end.state.lock();
        if !state.here.is_empty() {
            let length = state.here.len().min(buffer.remaining());
            buffer.put_slice(&state.here[..length]);
            state.here.advance(length);
            return Poll::Ready(Ok(()));
        }
        match state.closed {
            Some(false) => Poll::Ready(Ok(())),
            Some(true) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.end.state.lock();
        if state.closed.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.under_way >= WINDOW {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.under_way += bytes.len();
        drop(state);
        let (conn, from) = (self.conn, self.side);
        self.place.put(Out::Bytes { conn, from, bytes: Bytes::copy_from_slice(bytes) });
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.place.put(Out::Close { conn: self.conn, from: self.side });
    }
}
