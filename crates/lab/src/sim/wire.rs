//! A node's socket for probes: packets that were delivered wait in it, a few at most.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use probe::Wire;
use tokio::io::ReadBuf;

use super::place::{Out, Place};

/// Packets that a socket keeps for a process that does not read.
const KEPT: usize = 256;

/// The world's hand on a socket.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    here: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

impl Inbox {
    /// A packet has come.
    pub(super) fn deliver(&self, from: SocketAddr, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        if state.here.len() < KEPT {
            state.here.push_back((from, bytes));
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

/// A node's socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) place: Place,
    pub(super) address: SocketAddr,
    pub(super) inbox: Arc<Inbox>,
}

impl Wire for Socket {
    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        self.place.put(Out::Packet { to, bytes: packet.to_vec() });
        Ok(())
    }

    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let mut state = self.inbox.state.lock();
        let Some((from, bytes)) = state.here.pop_front() else {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let length = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..length]);
        Poll::Ready(Ok(from))
    }
}
