//! What nodes and the world share: nodes put down what leaves them, the world takes it up when
//! they have had their turn.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::far_store::Call;
use super::pipe::End;

/// A node by its number: hosts first, then servers, then the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) usize);

/// A connection by its number.
pub(super) type ConnId = u64;

/// One of a connection's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Who dialled.
    Client,
    /// Who was dialled.
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What leaves a node.
pub(super) enum Out {
    /// It dials a server.
    Dial { conn: ConnId, to: String, end: Arc<End>, answer: oneshot::Sender<bool> },
    /// Bytes on a connection.
    Bytes { conn: ConnId, from: Side, bytes: Bytes },
    /// It closed its end.
    Close { conn: ConnId, from: Side },
    /// A packet that may get lost.
    Packet { to: SocketAddr, bytes: Vec<u8> },
    /// A request to the store.
    Call(Box<Call>),
    /// A container of this host is to end at a time.
    End { container: String, at: u64 },
    /// For the trace and the checks.
    Tell(Told),
}

/// What a node tells the checks.
pub(super) enum Told {
    /// A container was started.
    Started(String),
    /// A container was told to stop, and whether it was healthy.
    Stopped(String, bool),
    /// A client's request was answered: its number, whether it was acknowledged.
    Answered(usize, Result<(), String>),
}

/// What has left nodes, with when and whence.
#[derive(Default)]
pub(super) struct Hub {
    out: Mutex<Vec<(u64, NodeId, Out)>>,
    conns: Mutex<ConnId>,
}

impl Hub {
    /// Takes up what has left nodes, oldest first.
    pub(super) fn take(&self, into: &mut Vec<(u64, NodeId, Out)>) {
        into.append(&mut self.out.lock());
    }
}

/// A node's own view of where and when it is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) hub: Arc<Hub>,
    pub(super) node: NodeId,
    /// The runtime's first moment, and the world's time then.
    pub(super) base: Instant,
    pub(super) born: u64,
}

impl Place {
    /// The world's time as this node sees it.
    pub(super) fn now(&self) -> u64 {
        self.born + u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets something leave the node.
    pub(super) fn put(&self, out: Out) {
        self.hub.out.lock().push((self.now(), self.node, out));
    }

    /// A number for a new connection.
    pub(super) fn next_conn(&self) -> ConnId {
        let mut conns = self.hub.conns.lock();
        *conns += 1;
        *conns
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("node", &self.node).finish_non_exhaustive()
    }
}
