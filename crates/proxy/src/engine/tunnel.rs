//! Bytes passed between a client and an instance without looking inside: switched protocols and
//! TCP routes.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};

use super::client::{ClientState, Wish};
use super::io::{Counted, UpstreamIo};
use super::ticket::Ticket;

/// Bytes held per direction: a TLS record's worth.
const BUFFER_BYTES: usize = 16 * 1024;

/// The instance's side of a switched protocol, waiting for the client's.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) stream: UpstreamIo,
    /// What the instance said already in the new protocol.
    pub(crate) early: Bytes,
    pub(crate) idle: Duration,
    pub(crate) ticket: Option<Box<Ticket>>,
}

impl Tunnel {
    /// Joins the client's side, which said `early` already, and relays until the end.
    pub(crate) async fn run<C>(mut self, client: C, early: Bytes, state: &ClientState)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let relayed = relay(client, early, self.stream, self.early, self.idle, state).await;
        if let Some(ticket) = &mut self.ticket {
            ticket.bytes_in = relayed.from_client;
            ticket.bytes_out = relayed.from_instance;
            ticket.complete = relayed.complete;
        }
    }
}

/// What went through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relayed {
    pub(crate) from_client: u64,
    pub(crate) from_instance: u64,
    /// Both sides closed in good order.
    pub(crate) complete: bool,
}

/// Relays both ways until both sides have closed, one breaks, both are silent for `idle`, or the
/// connection is cut.
pub(crate) async fn relay<C, I>(
    client: C,
    client_early: Bytes,
    instance: I,
    instance_early: Bytes,
    idle: Duration,
    state: &ClientState,
) -> Relayed
where
    C: AsyncRead + AsyncWrite + Unpin,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let from_client = Rc::new(Cell::new(client_early.len() as u64));
    let from_instance = Rc::new(Cell::new(instance_early.len() as u64));
    let mut client = Counted { inner: client, read: Rc::clone(&from_client) };
    let mut instance = Counted { inner: instance, read: Rc::clone(&from_instance) };
    let pass = async {
        instance.write_all(&client_early).await?;
        client.write_all(&instance_early).await?;
        copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER_BYTES, BUFFER_BYTES).await
    };
    let result: io::Result<(u64, u64)> = tokio::select! {
        // Each arm ends the tunnel, so nothing is lost by dropping the others.
        result = pass => result,
        () = silence(&from_client, &from_instance, idle) => Err(io::ErrorKind::TimedOut.into()),
        () = cut(state) => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    Relayed {
        from_client: from_client.get(),
        from_instance: from_instance.get(),
        complete: result.is_ok(),
    }
}

/// Ends when nothing was read from either side for `idle`, a quarter of it more at most.
async fn silence(one: &Cell<u64>, other: &Cell<u64>, idle: Duration) {
    let mut seen = (one.get(), other.get());
    let mut quiet = 0;
    while quiet < 4 {
        tokio::time::sleep(idle / 4).await;
        let now = (one.get(), other.get());
        quiet = if now == seen { quiet + 1 } else { 0 };
        seen = now;
    }
}

/// Ends when the sweeper wants the connection gone.
async fn cut(state: &ClientState) {
    poll_fn(|cx| {
        state.register(cx.waker());
        if state.wish.get() == Wish::Cut { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
