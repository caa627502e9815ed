//! Frames on a Unix stream socket: eight bytes of header (payload length and number of attached
//! descriptors, both big-endian u32), then JSON. Descriptors ride on the header's bytes.
//!
//! Knows nothing about the messages; both sides use it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The largest payload: a table of 10,000 routes with a certificate of 5 KiB each is about 55 MiB.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// The most descriptors in a frame. The kernel's limit is 253 a message (unix(7), `SCM_MAX_FD`).
pub const MAX_FDS: usize = 250;

const HEADER_BYTES: usize = 8;

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed.
    #[error("talking over the control socket")]
    Io(#[source] io::Error),
    /// The peer closed the connection between frames.
    #[error("the control connection was closed")]
    Closed,
    /// The peer or the caller broke a limit.
    #[error("control frame with {bytes} bytes and {fds} descriptors is beyond the limits")]
    TooLarge {
        /// The payload's bytes.
        bytes: usize,
        /// The descriptors.
        fds: usize,
    },
    /// Fewer or more descriptors arrived than the header says.
    #[error("control frame announced {announced} descriptors and brought {received}")]
    Descriptors {
        /// What the header says.
        announced: usize,
        /// What came.
        received: usize,
    },
    /// The payload is not the JSON that was expected.
    #[error("reading a control message")]
    Json(#[source] serde_json::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connected control socket that sends and receives whole frames.
#[derive(Debug)]
pub struct FrameSocket {
    stream: UnixStream,
}

impl FrameSocket {
    /// Takes a connected stream.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Sends one message with descriptors attached. Not cancel-safe: a dropped future may leave
    /// half a frame behind, the connection is of no more use then.
    ///
    /// # Errors
    /// When the socket fails or the message is beyond the limits.
    pub async fn send<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), FrameError> {
        let payload = serde_json::to_vec(message).map_err(FrameError::Json)?;
        if payload.len() > MAX_FRAME_BYTES || fds.len() > MAX_FDS {
            return Err(FrameError::TooLarge { bytes: payload.len(), fds: fds.len() });
        }
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length_bytes(payload.len()));
        header[4..].copy_from_slice(&length_bytes(fds.len()));
        let mut sent = self.send_with_fds(&header, fds).await?;
        while sent < HEADER_BYTES {
            sent += self.write(&header[sent..]).await?;
        }
        let mut rest = payload.as_slice();
        while !rest.is_empty() {
            let n = self.write(rest).await?;
            rest = &rest[n..];
        }
        Ok(())
    }

    async fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() {
                    let pushed = control.push(SendAncillaryMessage::ScmRights(fds));
                    assert!(pushed, "the buffer has room for MAX_FDS");
                }
                let iov = [IoSlice::new(bytes)];
                let flags = SendFlags::NOSIGNAL;
                Ok(rustix::net::sendmsg(&self.stream, &iov, &mut control, flags)?)
            })
            .await
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let send = || Ok(rustix::net::send(&self.stream, bytes, SendFlags::NOSIGNAL)?);
        self.stream.async_io(Interest::WRITABLE, send).await
    }

    /// Receives one message and its descriptors, which are close-on-exec. Not cancel-safe.
    ///
    /// # Errors
    /// [`FrameError::Closed`] when the peer closed between frames; otherwise when the socket
    /// fails, a limit is broken or the payload is not a `T`.
    pub async fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), FrameError> {
        let mut header = [0; HEADER_BYTES];
        let mut fds = Vec::new();
        let mut got = 0;
        while got < HEADER_BYTES {
            let n = self.receive_with_fds(&mut header[got..], &mut fds).await?;
            if n == 0 {
                return Err(if got == 0 { FrameError::Closed } else { unexpected_end() });
            }
            got += n;
        }
        let length = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_be_bytes(bytes) as usize
        };
        let (bytes, announced) = (length(0), length(4));
        if bytes > MAX_FRAME_BYTES || announced > MAX_FDS {
            return Err(FrameError::TooLarge { bytes, fds: announced });
        }
        if fds.len() != announced {
            return Err(FrameError::Descriptors { announced, received: fds.len() });
        }
        let mut payload = vec![0; bytes];
        let mut got = 0;
        while got < bytes {
            let rest = &mut payload[got..];
            let receive = || {
                let (n, _) = rustix::net::recv(&self.stream, &mut *rest, RecvFlags::empty())?;
                Ok(n)
            };
            match self.stream.async_io(Interest::READABLE, receive).await? {
                0 => return Err(unexpected_end()),
                n => got += n,
            }
        }
        let message = serde_json::from_slice(&payload).map_err(FrameError::Json)?;
        Ok((message, fds))
    }

    async fn receive_with_fds(
        &self,
        bytes: &mut [u8],
        fds: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        self.stream
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut iov = [IoSliceMut::new(bytes)];
                let flags = RecvFlags::CMSG_CLOEXEC;
                let received = rustix::net::recvmsg(&self.stream, &mut iov, &mut control, flags)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        fds.extend(rights);
                    }
                }
                Ok(received.bytes)
            })
            .await
    }

    /// The user id of the peer's process.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn peer_uid(&self) -> io::Result<u32> {
        Ok(self.stream.peer_cred()?.uid())
    }
}

fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("limits are far below 4 GiB").to_be_bytes()
}

fn unexpected_end() -> FrameError {
    FrameError::Io(io::ErrorKind::UnexpectedEof.into())
}
