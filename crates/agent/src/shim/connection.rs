//! One client of a shim, without blocking and without trusting it to be well.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use super::protocol::{self, MAX_FRAME, Reply, Request};

/// Most clients at once: the agent's watch, its questions, and some that a killed agent left
/// behind.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// A connected client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Whether it waits to be told of the end.
    pub(super) waits_for_exit: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new(), waits_for_exit: false })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Reads what is there; the requests that are whole by now. An error or the end means: hang up.
    pub(super) fn read(&mut self) -> io::Result<Vec<Request>> {
        let mut chunk = [0; 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if self.buffer.len() > MAX_FRAME + 4 {
                break;
            }
        }
        let mut requests = Vec::new();
        while let Some(request) = protocol::decode(&mut self.buffer)? {
            requests.push(request);
        }
        Ok(requests)
    }

    /// Sends a reply. Replies fit the socket's buffer; a client that does not read loses the
    /// connection.
    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        self.stream.write_all(&protocol::encode(reply)?)
    }
}
